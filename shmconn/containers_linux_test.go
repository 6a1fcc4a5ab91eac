package shmconn_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/shmconn"
)

// The parts are registered before any init function runs them.
var _ = func() bool {
	children["contained server"] = childContainedServer
	children["contained client"] = childContainedClient
	children["contained"] = contain
	return true
}()

// contain does the rest of what a container runtime does: the process, which has
// namespaces of its own, sees nothing of the machine's files but a volume, at
// /vol, and its own /proc. args are the new root and the volume.
func contain(args []string) error {
	root, volume := args[0], args[1]
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{volume, filepath.Join(root, "vol"), "", unix.MS_BIND},
		{"proc", filepath.Join(root, "proc"), "proc", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return errors.Join(unix.Chroot(root), unix.Chdir("/"))
}

// childContainedServer serves one client and says who it was.
func childContainedServer(args []string) error {
	if err := contain(args); err != nil {
		return err
	}
	var asked []shmconn.Credentials
	lc := shmconn.ListenConfig{Mode: 0o666, Authorize: func(c shmconn.Credentials) error {
		asked = append(asked, c)
		return nil
	}}
	l, err := lc.Listen(context.Background(), "shm", "/vol/s")
	if err != nil {
		return err
	}
	fmt.Println("listening")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	echo(c)
	cred := c.(*shmconn.Conn).PeerCredentials()
	if len(asked) != 1 || asked[0] != cred {
		return fmt.Errorf("Authorize was asked about %v, not once about %v", asked, cred)
	}
	_, err = fmt.Println("client has uid", cred.UID, "gid", cred.GID, "pid", cred.PID)
	return err
}

// childContainedClient has a server return what it sends.
func childContainedClient(args []string) error {
	if err := contain(args); err != nil {
		return err
	}
	c, err := shmconn.Dial("shm", "/vol/s")
	if err != nil {
		return err
	}
	data := make([]byte, 10<<20)
	rand.Read(data)
	go func() {
		c.Write(data)
		c.(*shmconn.Conn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if sha256.Sum256(got) != sha256.Sum256(data) {
		return fmt.Errorf("%d bytes come back changed", len(got))
	}
	cred := c.(*shmconn.Conn).PeerCredentials()
	_, err = fmt.Println("server has uid", cred.UID, "gid", cred.GID, "pid", cred.PID)
	return err
}

// TestContainers connects two containers: users, processes, mounts and networks
// of their own, and nothing in common but a directory with the socket. The
// kernel cannot tell either who the other is: it has no number for a user that
// is not mapped, nor for a process that is not visible.
func TestContainers(t *testing.T) {
	watchdog(t, 2*patience)
	if os.Geteuid() != 0 {
		t.Skip("needs users to give to the containers: run as root")
	}
	dir, err := os.MkdirTemp("", "shm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	volume := filepath.Join(dir, "volume")
	for _, d := range []string{volume, filepath.Join(dir, "server"), filepath.Join(dir, "client")} {
		for _, sub := range []string{"", "proc", "vol"} {
			if err := os.MkdirAll(filepath.Join(d, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(volume, 0o777)); err != nil {
		t.Fatal(err)
	}
	namespaces := func(user int) *syscall.SysProcAttr {
		one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: user, Size: 1}}
		return &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
			UidMappings: one,
			GidMappings: one,
			Credential:  &syscall.Credential{},
		}
	}
	run := func(part, root string, user int) *child {
		return start(t, namespaces(user), part, filepath.Join(dir, root), volume)
	}
	probe := exec.Command("/proc/self/exe", filepath.Join(dir, "server"), volume)
	probe.Env = append(os.Environ(), childEnv+"=contained")
	probe.SysProcAttr = namespaces(100_001)
	if out, err := probe.CombinedOutput(); err != nil {
		if strings.Contains(string(out)+err.Error(), "not permitted") {
			t.Skipf("no containers here: run on the machine itself, or in a container with --privileged: %v %s", err, out)
		}
		t.Fatalf("%v %s", err, out)
	}
	server := run("contained server", "server", 100_001)
	expect(t, server.out, "listening\n")
	client := run("contained client", "client", 100_002)
	expect(t, client.out, "server has uid 65534 gid 65534 pid 0\n")
	expect(t, server.out, "client has uid 65534 gid 65534 pid 0\n")
	for name, c := range map[string]*child{"server": server, "client": client} {
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
