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

waiting=()
answers 2379 || waiting+=(etcd)
answers "$(</run/pgloom/port)" || waiting+=(kube-apiserver)
answers 10257 || waiting+=(kube-controller-manager)
answers 10259 || waiting+=(kube-scheduler)
[[ -S /run/containerd/containerd.sock ]] || waiting+=(containerd)
(says_ok 10248 /healthz) || waiting+=(kubelet)
(says_ok 10256 /healthz) || waiting+=(kube-proxy)
(says_ok 8181 /ready) || waiting+=(coredns)
pgrep --full '^node storage ' >/dev/null || waiting+=(storage)

((${#waiting[@]} == 0)) || { echo "waiting for ${waiting[*]}" && exit 1; }
