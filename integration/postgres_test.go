package integration_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shmconn/shmconn/integration/internal/peer"
)

// startPostgres starts PostgreSQL on a unix socket, with a database of its own.
func startPostgres(t *testing.T) (path string) {
	t.Helper()
	const debian = "/usr/lib/postgresql/*/bin/"
	initdb := peer.Find(t, "initdb", "postgresql", debian+"initdb")
	program := peer.Find(t, "postgres", "postgresql", debian+"postgres")
	dir := peer.Dir(t)
	as := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	init := exec.Command(initdb, "--pgdata="+data, "--username=tester", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync")
	init.Dir, init.SysProcAttr = dir, as
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := exec.Command(program, "-D", data, "-k", dir, "-F", "-c", "listen_addresses=", "-c", "logging_collector=off", "-c", "log_min_messages=fatal")
	server.Dir, server.SysProcAttr = dir, as
	peer.Run(t, syscall.SIGINT, server) // a fast shutdown
	path = filepath.Join(dir, ".s.PGSQL.5432")
	peer.Eventually(t, "PostgreSQL is ready", func() bool {
		conn, err := connectPostgres(t.Context(), func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		})
		if err == nil {
			conn.Close(t.Context())
		}
		return err == nil
	})
	return path
}

// unprivileged returns the attributes of a process that PostgreSQL is willing
// to run in, which is not root's, and gives that process the directory.
func unprivileged(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return new(syscall.SysProcAttr)
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("root cannot run PostgreSQL: %v", err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// connectPostgres connects by dial, for cancellations as well.
func connectPostgres(ctx context.Context, dial dialFunc) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig("host=server user=tester database=postgres sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.DialFunc = pgconn.DialFunc(dial)
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return pgx.ConnectConfig(ctx, config)
}

// TestPostgres has PostgreSQL behind the proxy.
func TestPostgres(t *testing.T) {
	ctx := peer.Context(t)
	conn, err := connectPostgres(ctx, startProxy(t, startPostgres(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(ctx, "create table numbers (n int primary key, square bigint, words text)"); err != nil {
		t.Fatal(err)
	}
	t.Run("copy", func(t *testing.T) { copyPostgres(t, conn) })
	t.Run("query", func(t *testing.T) { queryPostgres(t, conn) })
	t.Run("batch", func(t *testing.T) { batchPostgres(t, conn) })
	t.Run("cancel", func(t *testing.T) { cancelPostgres(t, conn) })
}

const rows = 50_000

// copyPostgres fills the table and reads it back, both by COPY.
func copyPostgres(t *testing.T, conn *pgx.Conn) {
	ctx := peer.Context(t)
	words := strings.Repeat("words ", 30)
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"numbers"}, []string{"n", "square", "words"},
		pgx.CopyFromSlice(rows, func(i int) ([]any, error) { return []any{i, int64(i) * int64(i), words}, nil }))
	if err != nil || n != rows {
		t.Fatalf("copied %d rows, %v", n, err)
	}
	var got, want bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&want, "%d\t%d\t%s\n", i, i*i, words)
	}
	if _, err := conn.PgConn().CopyTo(ctx, &got, "copy (select * from numbers order by n) to stdout"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%d bytes come back, not the %d that were sent", got.Len(), want.Len())
	}
}

// queryPostgres reads all rows by a query.
func queryPostgres(t *testing.T, conn *pgx.Conn) {
	found, err := conn.Query(peer.Context(t), "select n, square from numbers order by n")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	i := 0
	for ; found.Next(); i++ {
		var n, square int
		if err := found.Scan(&n, &square); err != nil || n != i || square != i*i {
			t.Fatalf("row %d: %d, %d, %v", i, n, square, err)
		}
	}
	if err := found.Err(); err != nil || i != rows {
		t.Errorf("%d rows, %v", i, err)
	}
}

// batchPostgres sends many queries before it reads an answer.
func batchPostgres(t *testing.T, conn *pgx.Conn) {
	var batch pgx.Batch
	for i := range 1000 {
		batch.Queue("select square from numbers where n = $1", i).QueryRow(func(row pgx.Row) error {
			var square int
			if err := row.Scan(&square); err != nil || square != i*i {
				return fmt.Errorf("the square of %d is %d, %w", i, square, err)
			}
			return nil
		})
	}
	if err := conn.SendBatch(peer.Context(t), &batch).Close(); err != nil {
		t.Error(err)
	}
}

// cancelPostgres cancels a query by a second connection, in the protocol's way.
// The first one remains usable.
func cancelPostgres(t *testing.T, conn *pgx.Conn) {
	ctx := peer.Context(t)
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "select pg_sleep(3600)")
		ended <- err
	}()
	// A request that comes before the query is without effect.
	var err error
	peer.Eventually(t, "the query is cancelled", func() bool {
		if err := conn.PgConn().CancelRequest(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case err = <-ended:
			return true
		default:
			return false
		}
	})
	const queryCanceled = "57014" // see the PostgreSQL documentation, appendix A
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != queryCanceled {
		t.Errorf("cancelled query: %v", err)
	}
	var one int
	if err := conn.QueryRow(ctx, "select 1").Scan(&one); err != nil || one != 1 {
		t.Errorf("query after the cancelled one: %d, %v", one, err)
	}
}
