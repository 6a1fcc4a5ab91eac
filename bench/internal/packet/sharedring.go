package packet

import (
	"errors"

	"github.com/shmconn/shmconn/sharedring"
)

// sharedCarrier is the queue that has the crate's format, used as in the crate's
// benchmark: it holds two packets, each packet signals because the queue was
// empty, and the reader sums in place. Pieces have multiples of 32 bytes, as
// packets have and the length of the ring.
type sharedCarrier struct {
	sender   *sharedring.Sender[byte]
	receiver *sharedring.Receiver[byte]
}

func openShared(size int) (carrier, error) {
	sender, err := sharedring.NewSender[byte](2 * size)
	if err != nil {
		return nil, err
	}
	receiver, err := sharedring.OpenReceiver[byte](2*size, sender.Memfd(), sender.EmptySignal(), sender.FullSignal())
	if err != nil {
		sender.Close()
		return nil, err
	}
	return &sharedCarrier{sender, receiver}, nil
}

func (c *sharedCarrier) carry(packet []byte) (total uint64, err error) {
	for len(packet) > 0 {
		n, _, err := c.sender.TrySend(packet)
		if err != nil {
			return 0, err
		}
		packet = packet[n:]
		for n > 0 {
			if _, err := c.receiver.ReceiveRaw(func(piece sharedring.Raw[byte]) int {
				total += sum(piece.Bytes())
				n -= piece.Len()
				return piece.Len()
			}); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

func (c *sharedCarrier) Close() error {
	return errors.Join(c.receiver.Close(), c.sender.Close())
}
