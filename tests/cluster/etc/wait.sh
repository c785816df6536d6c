# Waits for another service of the node; sourced by the scripts in services/. Saves the slow start of a component that
# would only fail. shellcheck shell=bash

wait_for_port() {
	until (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do sleep 0.1; done
}

wait_for_socket() {
	until [[ -S $1 ]]; do sleep 0.1; done
}

# Until it is ready, not until it listens: before its rights are in place it refuses the components, and some of them
# end then.
wait_for_apiserver() {
	keeper wait "https://127.0.0.1:$(</run/pgloom/port)/readyz" /run/pgloom/pki/ca.crt
}
