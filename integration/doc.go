// Package integration tests that servers and frameworks which know nothing of
// shared memory run over it, each between two processes. It holds nothing but
// tests and, as examples, the few lines that put a framework onto shmconn.
//
// The tests with Redis, PostgreSQL and systemd run the programs of Debian's
// packages redis-server, postgresql and systemd, and are skipped without them.
package integration
