# Derives name, addresses and control group of a node from its number; sourced by `cluster`, `boot` and the scripts in
# services/.
# The first node has the control plane. The others run inside its namespaces, joined to its network.
# shellcheck shell=bash disable=SC2034 # the variables are for those that source this file

# describe_node NUMBER
describe_node() {
	node_number=$1
	node_name=$PGLOOM_CLUSTER
	# Below the cluster's own control group.
	node_control_group=pgloom-$PGLOOM_CLUSTER
	if ((node_number > 1)); then
		node_name+=-$node_number
		node_control_group+=/node-$node_number
	fi
	node_address=10.245.0.$node_number
	node_pods=10.244.$((node_number - 1)).0/24
}
