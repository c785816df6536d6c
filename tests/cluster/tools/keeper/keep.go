// The node's init process: starts the services, starts them again when they end, and reaps orphaned processes.
//
// It is process 1 of the node's own process namespace: when it ends, for whatever reason, the kernel ends everything in the node,
// pods included, and the node's mounts and network go with it. That is what makes stopping a cluster one signal.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// The delay before a service that ended starts again: short for a component that waits for another one, long enough for two cores.
const restartDelay = time.Second

func keep(services, logs string) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("process %d is not the first of its process namespace", os.Getpid())
	}
	scripts, err := filepath.Glob(filepath.Join(services, "*"))
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	due := make(chan string, len(scripts))
	running := map[int]string{}
	for _, script := range scripts {
		due <- script
	}
	for {
		select {
		case script := <-due:
			pid, err := start(script, logs)
			if err != nil {
				fmt.Printf("%s %s did not start: %v\n", now(), filepath.Base(script), err)
				again(due, script)
				continue
			}
			running[pid] = script
			fmt.Printf("%s %s started\n", now(), filepath.Base(script))
		case s := <-signals:
			if s != syscall.SIGCHLD {
				fmt.Printf("%s stopping\n", now())
				return nil
			}
			for {
				var status syscall.WaitStatus
				pid, _ := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
				if pid <= 0 {
					break
				}
				if script, ok := running[pid]; ok {
					delete(running, pid)
					fmt.Printf("%s %s ended: %s\n", now(), filepath.Base(script), describe(status))
					again(due, script)
				}
			}
		}
	}
}

func again(due chan<- string, script string) {
	time.AfterFunc(restartDelay, func() { due <- script })
}

func start(script, logs string) (int, error) {
	log, err := os.OpenFile(filepath.Join(logs, filepath.Base(script)+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return syscall.ForkExec(script, []string{script}, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }
