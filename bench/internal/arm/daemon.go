package arm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A Daemon is a D-Bus daemon of the benchmark's own, with a private socket
// and no limits that the workloads would meet.
type Daemon struct {
	// Address is what clients connect to.
	Address string
	cmd     *exec.Cmd
}

const daemonConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
  <limit name="max_incoming_bytes">1000000000</limit>
  <limit name="max_outgoing_bytes">1000000000</limit>
  <limit name="max_message_size">134217728</limit>
</busconfig>
`

// StartDaemon starts a daemon whose files are in dir. The error wraps
// exec.ErrNotFound when dbus-daemon is not installed.
func StartDaemon(dir string) (*Daemon, error) {
	path, err := exec.LookPath("dbus-daemon")
	if err != nil {
		return nil, fmt.Errorf("%w (Debian: apt-get install dbus-daemon)", err)
	}
	config, socket := filepath.Join(dir, "bus.conf"), filepath.Join(dir, "bus.sock")
	if err := os.WriteFile(config, fmt.Appendf(nil, daemonConfig, socket), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--config-file="+config, "--nofork", "--nopidfile", "--nosyslog")
	// The daemon does not outlive the thread that starts it; that is one of
	// the process's, and the runtime keeps those.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &Daemon{Address: "unix:path=" + socket, cmd: cmd}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return d, nil
		}
		if time.Now().After(deadline) {
			d.Close()
			return nil, errors.New("dbus-daemon does not listen")
		}
	}
}

// Pid returns the daemon's process id.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Close ends the daemon.
func (d *Daemon) Close() error {
	if err := d.cmd.Process.Kill(); err != nil {
		return err
	}
	// Killed: the error of Wait is that.
	_ = d.cmd.Wait()
	return nil
}
