// etcd: the store of the API server, for one member and without durability.
package main

import (
	"errors"
	"flag"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
)

func runEtcd() error {
	flags := flag.NewFlagSet("etcd", flag.ExitOnError)
	data := flags.String("data-dir", "", "the folder of the data")
	listen := flags.String("listen", "http://127.0.0.1:2379", "address the API server connects to")
	_ = flags.Parse(os.Args[1:])
	if *data == "" {
		return errors.New("--data-dir is missing")
	}

	client, err := url.Parse(*listen)
	if err != nil {
		return err
	}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:0"} // not used: this is the only member

	config := embed.NewConfig()
	config.Dir = *data
	config.ListenClientUrls = []url.URL{*client}
	config.AdvertiseClientUrls = []url.URL{*client}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "warn"
	// A test cluster does not have to survive a power cut; a killed process loses nothing, since the kernel keeps what was written.
	config.UnsafeNoFsync = true
	// Keeps the store small over days of test runs.
	config.AutoCompactionMode = "periodic"
	config.AutoCompactionRetention = "10m"

	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer server.Close()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-stop:
		return nil
	case err := <-server.Err():
		return err
	}
}
