package ring

// mutation is a defect put into a copy of the package on purpose.
type mutation struct {
	name  string
	edits []edit
}

type edit struct{ file, old, new string }

func mutate(name, file, old, new string) mutation {
	return mutation{name, []edit{{file, old, new}}}
}

// mutations leave out each check and each wake-up, and swap each pair whose
// order matters. The sleeping ends are those of park_test.go.
var mutations = []mutation{
	// Trust.
	mutate("accept any head", "producer.go", "if p.tail-h > p.tail-p.head {", "if false {"),
	mutate("accept a head that goes back", "producer.go", "if p.tail-h > p.tail-p.head {", "if p.tail-h > uint64(len(p.data)) {"),
	mutate("forget a bad head", "producer.go", "p.failed = true\n", ""),
	mutate("produce after a violation", "producer.go", "if p.failed {", "if false {"),
	{"let a close hide a violation", []edit{
		{"producer.go", "if p.failed {\n\t\treturn 0, ErrCorrupt\n\t}\n", ""},
		{"producer.go", "return 0, ErrReadClosed\n\t}\n", "return 0, ErrReadClosed\n\t}\n\tif p.failed {\n\t\treturn 0, ErrCorrupt\n\t}\n"},
	}},
	mutate("load the head twice", "producer.go", "p.head = h\n", "p.head = p.peer.head.load()\n"),
	mutate("never use a new head", "producer.go", "p.head = h\n", ""),
	mutate("accept any tail ahead", "consumer.go", "used > uint64(len(c.data)) ||", ""),
	mutate("accept a tail one too far", "consumer.go", "used > uint64(len(c.data)) ||", "used > uint64(len(c.data))+1 ||"),
	mutate("refuse a full ring", "consumer.go", "used > uint64(len(c.data)) ||", "used >= uint64(len(c.data)) ||"),
	mutate("accept a tail that goes back", "consumer.go", "|| used < c.tail-c.head", ""),
	mutate("forget a bad tail", "consumer.go", "c.failed = true\n", ""),
	mutate("consume after a violation", "consumer.go", "c.failed || ", ""),
	mutate("load the tail twice", "consumer.go", "c.tail = t\n", "c.tail = c.peer.tail.load()\n"),
	mutate("no mask for the producer", "producer.go", "(p.tail-p.origin)&p.mask", "p.tail-p.origin"),
	mutate("no mask for the consumer", "consumer.go", "(c.head-c.origin)&c.mask", "c.head-c.origin"),
	mutate("mask one bit short", "consumer.go", "uint64(len(data) - 1)", "uint64(len(data)/2 - 1)"),
	mutate("any capacity", "layout.go", "&& capacity&(capacity-1) == 0", ""),
	mutate("any small capacity", "layout.go", "capacity >= MinCapacity &&", "capacity > 0 &&"),
	mutate("any alignment", "words_unsafe.go", "%8 != 0", "%8 > 8"),

	// Bytes in order.
	mutate("publish before the copy", "producer.go",
		"n = p.bypass.copy(first, b[:len(first)])\n\tn += p.bypass.copy(second, b[n:])\n\treturn n, p.Commit(n), nil",
		"wake = p.Commit(len(b))\n\tn = p.bypass.copy(first, b[:len(first)])\n\tn += p.bypass.copy(second, b[n:])\n\treturn n, wake, nil"),
	mutate("release before the copy", "consumer.go",
		"copy(b[copy(b, first):], second)\n\treturn n, c.Release(n), nil",
		"wake = c.Release(n)\n\tcopy(b[copy(b, first):], second)\n\treturn n, wake, nil"),
	mutate("lose the second slice", "producer.go", "n += p.bypass.copy(second, b[n:])", "n, _ = len(b), second"),
	mutate("one byte too many is free", "producer.go", "return len(p.data) - int(p.tail-p.head), nil", "return len(p.data) - int(p.tail-p.head) + 1, nil"),
	mutate("be content with any space", "producer.go", "if free >= need {", "if free > 0 {"),

	// The origin.
	mutate("rewind when not empty", "producer.go", "if p.tail == p.head && !large {", "if !large {"),
	mutate("rewind without a look", "producer.go", "if err := p.refresh(); err != nil {\n\t\treturn err\n\t}\n\tsince", "since"),
	mutate("never rewind", "producer.go", "if p.tail-p.turned >= p.turn-p.turned {", "if false {"),
	mutate("never widen the window", "producer.go", "p.window *= 2", "break"),
	mutate("widen the window by one step only", "producer.go", "for p.tail-p.origin >= p.window {", "if p.tail-p.origin >= p.window {"),
	mutate("keep the origin to itself", "producer.go", "p.mine.origin.store(p.origin)", ""),
	{"publish the origin after the tail", []edit{
		{"producer.go", "p.mine.origin.store(p.origin)", ""},
		{"producer.go", "p.mine.tail.store(p.tail)\n\t//", "p.mine.tail.store(p.tail)\n\tp.mine.origin.store(p.origin)\n\t//"},
	}},
	{"load the origin before the tail", []edit{
		{"consumer.go", "t := c.peer.tail.load()", "o := c.peer.origin.load()\n\tt := c.peer.tail.load()"},
		{"consumer.go", "c.origin = c.peer.origin.load()", "c.origin = o"},
	}},
	mutate("ignore the origin", "consumer.go", "c.origin = c.peer.origin.load()", ""),

	// Parking: who makes progress.
	mutate("crossed: one late", "layout.go", "new-event-1 < new-old", "new-event < new-old"),
	mutate("crossed: one early", "layout.go", "new-event-1 < new-old", "new-event-1 <= new-old"),
	mutate("crossed: not modulo 2^64", "layout.go", "return new-event-1 < new-old", "return old <= event && event < new"),
	mutate("load the data event before the tail is out", "producer.go",
		"p.mine.tail.store(p.tail)\n", "event := p.peer.dataEvent.load()\n\tp.mine.tail.store(p.tail)\n\treturn crossed(event, p.tail, old)\n"),
	mutate("load the space event before the head is out", "consumer.go",
		"c.mine.head.store(c.head)\n\t// After", "event := c.peer.spaceEvent.load()\n\tc.mine.head.store(c.head)\n\treturn crossed(event, c.head, old)\n\t// After"),
	mutate("always wake the consumer", "producer.go", "return crossed(p.peer.dataEvent.load(), p.tail, old)", "return old != p.tail"),
	mutate("never wake the consumer", "producer.go", "return crossed(p.peer.dataEvent.load(), p.tail, old)", "return old == p.tail && n > 0"),
	mutate("always wake the producer", "consumer.go", "return crossed(c.peer.spaceEvent.load(), c.head, old)", "return old != c.head"),
	mutate("never wake the producer", "consumer.go", "return crossed(c.peer.spaceEvent.load(), c.head, old)", "return old == c.head && n > 0"),
	mutate("do not publish the head", "consumer.go", "c.mine.head.store(c.head)\n\t// After", "// After"),
	mutate("do not publish the tail", "producer.go", "p.mine.tail.store(p.tail)\n", ""),
	mutate("do not ring for data", "park_test.go", "if wake {\n\t\t\ts.theirs.ring()\n\t\t}", "_ = wake"),
	mutate("do not ring for space", "park_test.go", "if wake {\n\t\t\tr.theirs.ring()\n\t\t}", "_ = wake"),
	mutate("do not ring at the close", "park_test.go", "s.p.CloseWrite()\n\ts.theirs.ring()", "s.p.CloseWrite()"),

	// Parking: who sleeps.
	mutate("data event one back", "consumer.go", "c.mine.dataEvent.store(c.tail)", "c.mine.dataEvent.store(c.tail - 1)"),
	mutate("data event one ahead", "consumer.go", "c.mine.dataEvent.store(c.tail)", "c.mine.dataEvent.store(c.tail + 1)"),
	mutate("space event one ahead", "producer.go", "spaceEvent.store(target - 1)", "spaceEvent.store(target)"),
	mutate("space event one back", "producer.go", "spaceEvent.store(target - 1)", "spaceEvent.store(target - 2)"),
	mutate("any space will do", "producer.go", "target := p.tail + uint64(need)", "target := p.tail + 1"),
	mutate("ask for data at the start", "consumer.go", "c.mine.dataEvent.store(index - 1)", "c.mine.dataEvent.store(index)"),
	mutate("ask for space at the start", "producer.go", "p.mine.spaceEvent.store(index - 1)", "p.mine.spaceEvent.store(index)"),
	mutate("consumer does not look again", "park_test.go", "if n, err := r.c.Readable(); n > 0 || err != nil {", "if false {"),
	mutate("producer does not look again", "park_test.go", "if n, err := s.p.Writable(need); n >= need || err != nil {", "if false {"),
	mutate("consumer looks before it announces", "park_test.go",
		"r.c.Announce()\n\tif n, err := r.c.Readable(); n > 0 || err != nil {\n\t\treturn true\n\t}\n",
		"if n, err := r.c.Readable(); n > 0 || err != nil {\n\t\treturn true\n\t}\n\tr.c.Announce()\n"),
	mutate("producer looks before it announces", "park_test.go",
		"s.p.Announce(need)\n\tif n, err := s.p.Writable(need); n >= need || err != nil {\n\t\treturn true\n\t}\n",
		"if n, err := s.p.Writable(need); n >= need || err != nil {\n\t\treturn true\n\t}\n\ts.p.Announce(need)\n"),

	// The end.
	mutate("look for the close after the tail", "consumer.go",
		"closed := c.peer.sendClosed.load() != 0\n\tif err := c.refresh(); err != nil {\n\t\treturn 0, err\n\t}\n",
		"if err := c.refresh(); err != nil {\n\t\treturn 0, err\n\t}\n\tclosed := c.peer.sendClosed.load() != 0\n"),
	mutate("let the producer take its end back", "consumer.go", "c.ended = true\n", ""),
	mutate("let the consumer take its end back", "producer.go", "p.ended = true", ""),
	mutate("end with bytes left", "consumer.go", "if n == 0 && closed {", "if closed {"),
	mutate("never end", "consumer.go", "if n == 0 && closed {", "if false && closed {"),
	mutate("close nothing for the consumer", "producer.go", "p.mine.sendClosed.store(1)", ""),
	mutate("close nothing for the producer", "consumer.go", "c.mine.recvClosed.store(1)", ""),
	mutate("produce for nobody", "producer.go", "if p.ended || p.peer.recvClosed.load() != 0 {", "if false {"),
	mutate("look for the hang-up after the ring", "explore_ring_test.go",
		"ended := hungUp\n\t\t\t\tif n, err := r.c.Readable(); n > 0 {",
		"n, err := r.c.Readable()\n\t\t\t\texplore.Pause(nil)\n\t\t\t\tended := hungUp\n\t\t\t\tif n > 0 {"),
}
