module pgloom.dev/tests/cluster/tools

go 1.26.0

require golang.org/x/sys v0.40.0
