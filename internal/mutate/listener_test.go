package mutate

// listenerMutations are about the places and the time that handshakes get.
var listenerMutations = []mutation{
	mutate("no deadline", "upgrade.go", "now.Add(l.timeout)", "now.Add(time.Hour)"),
	mutate("displace the newest", "upgrade.go", "l.pending.Front()", "l.pending.Back()"),
	mutate("displace at once", "upgrade.go", "young > 0 {", "false {"),
	mutate("do not end who is displaced", "upgrade.go", "h.end(ErrEvicted)\n", ""),
	mutate("count whoever waits for Accept twice", "upgrade.go", "l.pending.Len()+l.nready >= l.max", "l.pending.Len()+2*l.nready >= l.max"),
	mutate("admit any number", "upgrade.go", "if l.pending.Len()+l.nready >= l.max {", "if false {"),
	mutate("accept when there is no place", "upgrade.go", "ok := l.leaving < l.max && l.nready < l.max", "ok := true"),
	mutate("keep an error of accept to oneself", "upgrade.go", "case l.errs <- err:\n\t\tcase <-l.draining:", "case <-l.draining:"),
	mutate("keep a late success", "upgrade.go", "if cause := context.Cause(h.ctx); cause != nil {", "if cause := error(nil); cause != nil {"),
	mutate("leave the deadline on the connection", "upgrade.go", "<-fired\n\t}", "}"),
	mutate("leave the connection of a failure open", "upgrade.go", "conn.Close() // has taken h.c over\n\t\t} else {\n\t\t\th.c.Close()", "conn.Close() // has taken h.c over\n\t\t} else {"),
	mutate("do not tell of a failure", "upgrade.go", "l.onError(h.c, err)\n", ""),
	mutate("leave what waits when closed", "upgrade.go", "case <-l.base.Done():\n\t\tconn.Close()", "case <-l.base.Done():"),
}
