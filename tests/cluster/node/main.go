// Kubernetes in one program: each control plane and node component, kubectl and the storage, chosen by the first argument.
//
// One binary, because the components share nearly all of their code: as separate programs they would need seven times the space and
// seven times the time to link.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	_ "time/tzdata" // time zones of CronJobs

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl against other clusters
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"pgloom.dev/tests/cluster/node/storage"
)

// programs maps the first argument to what runs; each finds its own arguments in os.Args, as if it had been called by its name.
var programs = map[string]func() error{
	"kube-apiserver":          component(apiserver.NewAPIServerCommand),
	"kube-controller-manager": component(controllermanager.NewControllerManagerCommand),
	"kube-scheduler":          component(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubelet":                 component(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
	"kube-proxy":              component(proxy.NewProxyCommand),
	"kubectl":                 runKubectl,
	"etcd":                    runEtcd,
	"storage":                 storage.Run,
}

func main() {
	// Called by a component's name, through a link, it is that component.
	if name := filepath.Base(os.Args[0]); programs[name] != nil {
		os.Args = append([]string{os.Args[0]}, os.Args...)
		os.Args[1] = name
	}
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		names := make([]string, 0, len(programs))
		for name := range programs {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "usage: %s PROGRAM [ARGUMENT…], where PROGRAM is one of: %s\n", os.Args[0], strings.Join(names, ", "))
		os.Exit(2)
	}
	run := programs[os.Args[1]]
	os.Args = os.Args[1:]
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[0], err)
		os.Exit(1)
	}
}

// component runs a Kubernetes command and ends the process with its exit code.
func component(command func() *cobra.Command) func() error {
	return func() error {
		os.Exit(cli.Run(command()))
		return nil
	}
}

func runKubectl() error {
	// The verbosity is needed before the command exists: making it already reads files and looks for plugins.
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints as kubectl does, and exits
	}
	return nil
}
