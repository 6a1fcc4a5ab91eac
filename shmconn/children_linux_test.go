package shmconn_test

import (
	"net"

	"github.com/shmconn/shmconn/shmconn"
)

// The parts of child processes. This file's init function must be the only one
// that runs them, when all are registered.
func init() {
	children["echo"] = childEcho
	children["poor client"] = childPoorClient
	children["poor server"] = childPoorServer
	children["victim"] = childVictim
	children["echo bytes"] = childEchoBytes
	children["busy"] = childBusy
	children["sink"] = childSink
	children["pong"] = childPong
	children["drain"] = childDrain
	children["producer"] = childProducer
	children["visitor"] = childVisitor
	children["host"] = childHost
	children["echo to kill"] = func(args []string) error { return childEcho([]string{"shm", args[0]}) }
	children["restartable"] = childRestartable
	children["file mirror"] = childFileMirror
	children["file victim"] = childFileVictim
	children["greedy client"] = childGreedyClient
	children["stranger"] = childStranger
	runChild()
}

// childEcho dials args[1] on network args[0] ("plain" is net's "unix") and
// echoes everything.
func childEcho(args []string) error {
	go orphaned()
	c, err := dialAs(args[0], args[1])
	if err != nil {
		return err
	}
	echo(c)
	return nil
}

func dialAs(network, path string) (net.Conn, error) {
	if network == "plain" {
		return net.Dial("unix", path)
	}
	return shmconn.Dial(network, path)
}

func listenAs(network, path string) (net.Listener, error) {
	if network == "plain" {
		return net.Listen("unix", path)
	}
	return shmconn.Listen(network, path)
}
