// The program of the self-test's pods: one static binary instead of a shell and its tools, so that the image needs nothing else.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	usage = `usage:
  probe serve PORT TEXT   answer every request with TEXT
  probe get URL           print what a server answers
  probe status URL        print the status code of a URL; does not check the server's certificate
  probe lookup NAME       print the addresses of a name
  probe api PATH          GET from the API server as the pod's service account, and print the status
  probe write FILE TEXT   write a file
  probe read FILE         print a file
`
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "probe: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	http.DefaultClient.Timeout = 5 * time.Second
	switch {
	case len(args) == 3 && args[0] == "serve":
		fmt.Println("serving", args[2])
		return http.ListenAndServe(":"+args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, args[2])
		}))
	case len(args) == 2 && args[0] == "get":
		answer, err := http.Get(args[1])
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.Copy(os.Stdout, answer.Body)
		return err
	case len(args) == 2 && args[0] == "status":
		http.DefaultClient.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		answer, err := http.Get(args[1])
		if err != nil {
			return err
		}
		fmt.Println(answer.StatusCode)
		return answer.Body.Close()
	case len(args) == 2 && args[0] == "lookup":
		addresses, err := net.LookupHost(args[1])
		fmt.Println(strings.Join(addresses, " "))
		return err
	case len(args) == 2 && args[0] == "api":
		return askAPI(args[1])
	case len(args) == 3 && args[0] == "write":
		return os.WriteFile(args[1], []byte(args[2]), 0o644)
	case len(args) == 2 && args[0] == "read":
		content, err := os.ReadFile(args[1])
		fmt.Print(string(content))
		return err
	}
	return errors.New(usage)
}

func askAPI(path string) error {
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	http.DefaultClient.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	request, err := http.NewRequest(http.MethodGet, "https://kubernetes.default.svc"+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	fmt.Println(answer.Status)
	return answer.Body.Close()
}
