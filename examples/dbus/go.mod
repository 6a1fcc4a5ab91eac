module github.com/shmconn/shmconn/examples/dbus

go 1.26.0

require (
	github.com/godbus/dbus/v5 v5.2.4
	github.com/shmconn/shmconn v0.0.0
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/shmconn/shmconn => ../../
