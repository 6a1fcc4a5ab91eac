package integration_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"sync"
)

// certificates come from a server that httptest starts only for its own: they
// are the same in all processes.
var certificates = sync.OnceValues(func() (server, client *tls.Config) {
	donor := httptest.NewTLSServer(nil)
	defer donor.Close()
	client = donor.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.ServerName = "example.com"
	return &tls.Config{Certificates: donor.TLS.Certificates}, client
})

// serverTLS returns the configuration of a server that proves to be
// example.com.
func serverTLS() *tls.Config {
	c, _ := certificates()
	return c.Clone()
}

// clientTLS returns the configuration of a client that trusts that server.
func clientTLS() *tls.Config {
	_, c := certificates()
	return c.Clone()
}
