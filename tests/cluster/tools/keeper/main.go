// The small tools of the local cluster; not a part of the big program, so that they start at once and need little memory.
package main

import (
	"fmt"
	"os"
)

const usage = `usage:
  keeper keep SERVICES LOGS                    be the node's first process: run every script in SERVICES, and again when it ends
  keeper forward LISTEN TARGET NAMESPACE       pass TCP connections from LISTEN, here, to TARGET in a network namespace (a path)
  keeper pki FOLDER NODE NODE_IP SERVICE_IP PORT   make the certificates and kubeconfigs that are missing
  keeper image NAME ROOT ARCHIVE ENTRYPOINT…   pack the folder ROOT as a one-layer image, an OCI archive
  keeper wait URL AUTHORITY                    wait until a server, known by the certificate file AUTHORITY, answers 200
  keeper port                                  print a free TCP port of the loopback address
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "keeper: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 {
		name, rest := args[0], args[1:]
		switch {
		case name == "keep" && len(rest) == 2:
			return keep(rest[0], rest[1])
		case name == "forward" && len(rest) == 3:
			return forward(rest[0], rest[1], rest[2])
		case name == "forward-accepting" && len(rest) == 1: // internal: what forward becomes
			return accept(rest[0])
		case name == "pki" && len(rest) == 5:
			return pki(rest[0], rest[1], rest[2], rest[3], rest[4])
		case name == "image" && len(rest) >= 4:
			return writeImage(rest[0], rest[1], rest[2], rest[3:])
		case name == "wait" && len(rest) == 2:
			return wait(rest[0], rest[1])
		case name == "port" && len(rest) == 0:
			return printFreePort()
		}
	}
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
	return nil
}
