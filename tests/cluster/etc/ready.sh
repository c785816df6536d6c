#!/bin/bash
# Prints which of the node's services are not ready yet, from inside the node; exit code 0 when all are.
set -euo pipefail

answers() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A plain GET; curl is not on every machine.
says_ok() {
	local status=
	{
		exec {connection}<>"/dev/tcp/127.0.0.1/$1"
		printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&"$connection"
		read -r status <&"$connection"
		exec {connection}>&-
	} 2>/dev/null
	[[ $status == *" 200 "* ]]
}

# A further node has only some of the services.
has() { [[ -e /run/pgloom/services/$1 ]]; }

waiting=()
# needs SERVICE COMMAND…: the service is ready when the command succeeds.
needs() {
	local service=$1
	shift
	! has "$service" || ("$@") >/dev/null || waiting+=("$service")
}
needs etcd answers 2379
needs kube-apiserver answers "$(</run/pgloom/port)"
needs forwarder answers "$(</run/pgloom/port)"
needs kube-controller-manager answers 10257
needs kube-scheduler answers 10259
needs containerd test -S /run/containerd/containerd.sock
needs kubelet says_ok 10248 /healthz
needs kube-proxy says_ok 10256 /healthz
needs coredns says_ok 8181 /ready
needs storage pgrep --full '^node storage '

((${#waiting[@]} == 0)) || { echo "waiting for ${waiting[*]}" && exit 1; }
