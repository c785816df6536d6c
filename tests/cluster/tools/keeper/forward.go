// A TCP forwarder that listens outside the node's network namespace and connects inside, so that no interface has to join the two.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The listening socket after the move: the first descriptor after the standard ones.
const listenerFD = 3

// forward listens, joins the namespace and executes itself again as accept. A socket stays in the namespace it was made in. The exec
// is needed because setns moves one thread only, and exec leaves no other.
func forward(listen, target, namespace string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	ns, err := os.Open(namespace)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}

	runtime.LockOSThread()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("failed to join the network namespace %s: %w", namespace, err)
	}
	// Dup2 clears close-on-exec of the copy; a descriptor that already has the right number needs it cleared by hand.
	if int(file.Fd()) == listenerFD {
		if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
			return err
		}
	} else if err := unix.Dup2(int(file.Fd()), listenerFD); err != nil {
		return err
	}
	return unix.Exec(self, []string{os.Args[0], "forward-accepting", target}, os.Environ())
}

func accept(target string) error {
	listener, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go join(client.(*net.TCPConn), target)
	}
}

// join copies both directions until each side has closed, so that a half-closed connection still delivers the other half.
func join(client *net.TCPConn, target string) {
	defer client.Close()
	connection, err := net.Dial("tcp", target)
	if err != nil {
		fmt.Fprintf(os.Stderr, "keeper: %v\n", err)
		return
	}
	server := connection.(*net.TCPConn)
	defer server.Close()
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.CloseWrite()
		close(done)
	}()
	_, _ = io.Copy(client, server)
	_ = client.CloseWrite()
	<-done
}

func printFreePort() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return nil
}
