/*
 * The ring and its parking protocol, one direction: a producer, a consumer,
 * and a kernel that may kill either end at any moment.
 *
 * Each access to a shared variable is one step, with the private work around
 * it, and all orders of steps are tried: the atomics are sequentially
 * consistent. Indices are plain
 * numbers here. Bytes are 1, 2, ... N, so that a lost, repeated or reordered
 * one is seen by its value.
 *
 * Checked by the script check beside this file:
 *   - every byte arrives once, in order, and none that was not published;
 *   - no lost wake-up: a state in which an end sleeps for ever is a deadlock;
 *   - both ends come to an end after a close of either side and after the
 *     death of either end, and no cycle of steps goes on without progress.
 *
 * Each macro BREAK_... breaks one rule; the script sees each of them fail.
 */

#ifndef N
#define N 4    /* bytes to send */
#endif
#define CAP 2  /* bytes in the ring */

/* The producer's memory. */
byte data[CAP];
byte tail, origin;
short spaceEvent = -1;
bool sendClosed;

/* The consumer's memory. */
byte head;
short dataEvent = -1;
bool recvClosed;

/* The doorbells, remembered until taken, and the kernel's word. */
bool producerBell, consumerBell;
bool producerDead, consumerDead;       /* stops the end */
bool producerHangup, consumerHangup;   /* tells the other end */

/* Moving an index from old to new passed the event. */
#ifdef BREAK_CROSSED
#define crossed(event, new, old) (old < event && event < new)
#else
#define crossed(event, new, old) (old <= event && event < new)
#endif

proctype Producer() {
	byte myTail, known, myOrigin; /* private cursors */
	byte n, i;
	bool wake;
	{
	do
	:: myTail == N -> break
	:: myTail < N ->
		if
#ifdef BREAK_HANGUP_SEEN_BY_PRODUCER
		:: recvClosed -> goto end
#else
		:: recvClosed || consumerHangup -> goto end
#endif
		:: else
		fi;
		d_step {
			known = head;
			assert(known <= myTail && myTail - known <= CAP)
		}

		atomic { if /* Going back to the start of the memory is a free choice. */
#ifdef BREAK_REWIND_NOT_EMPTY
		:: true ->
#else
		:: known == myTail ->
#endif
			myOrigin = myTail;
#ifndef BREAK_ORIGIN_AFTER_TAIL
			origin = myOrigin
#endif
		:: true
		fi }

		if
		:: myTail - known == CAP ->
			/* Sleeps until need bytes are free. */
			atomic { select(n : 1 .. CAP) }
#ifdef BREAK_LOOK_BEFORE_SPACE_EVENT
			if
			:: head + CAP - myTail >= n || recvClosed || consumerHangup -> goto again
			:: else
			fi;
			spaceEvent = myTail + n - CAP - 1;
#else
			spaceEvent = myTail + n - CAP - 1;
#ifndef BREAK_NO_LOOK_FOR_SPACE
			if
			:: head + CAP - myTail >= n || recvClosed || consumerHangup -> goto again
			:: else
			fi;
#endif
#endif
			d_step { producerBell -> producerBell = false }
		:: else ->
			atomic {
				select(n : 1 .. CAP);
				n = (n > CAP - (myTail - known) -> CAP - (myTail - known) : n);
				n = (n > N - myTail -> N - myTail : n)
			}
#ifdef BREAK_PUBLISH_BEFORE_DATA
			tail = myTail + n;
#endif
			do
			:: d_step { i < n -> data[(myTail + i - myOrigin) % CAP] = myTail + i + 1; i++ }
			:: d_step { i == n -> i = 0 } break
			od;
#ifdef BREAK_LOAD_DATA_EVENT_FIRST
			wake = crossed(dataEvent, myTail + n, myTail);
#endif
#ifndef BREAK_PUBLISH_BEFORE_DATA
			tail = myTail + n;
#endif
#ifdef BREAK_ORIGIN_AFTER_TAIL
			origin = myOrigin;
#endif
#ifndef BREAK_LOAD_DATA_EVENT_FIRST
			wake = crossed(dataEvent, myTail + n, myTail);
#endif
			if
			:: d_step { wake -> consumerBell = true; wake = false }
			:: !wake
			fi;
			myTail = myTail + n
		fi;
again:		skip;
		d_step { n = 0; known = 0 }
	od;
	sendClosed = true;
#ifndef BREAK_NO_RING_AT_CLOSE
	consumerBell = true;
#endif
end:	skip
#ifdef CRASH_PRODUCER
	} unless { producerDead }
#else
	}
#endif
}

proctype Consumer() {
	byte myHead, known, myOrigin; /* private cursors */
	byte n, i;
	bool closed, hungUp, wake;
	{
	do
	::
#ifndef BREAK_HANGUP_AFTER_TAIL
		hungUp = producerHangup;
#endif
#ifndef BREAK_CLOSED_AFTER_TAIL
		closed = sendClosed;
#endif
#ifdef BREAK_ORIGIN_BEFORE_TAIL
		myOrigin = origin;
#endif
		d_step {
			known = tail;
			assert(known >= myHead && known - myHead <= CAP)
		}
#ifdef BREAK_CLOSED_AFTER_TAIL
		closed = sendClosed;
#endif
#ifdef BREAK_HANGUP_AFTER_TAIL
		hungUp = producerHangup;
#endif
		if
		:: known > myHead ->
#ifndef BREAK_ORIGIN_BEFORE_TAIL
			myOrigin = origin;
#endif
			/* Takes all that is known, in one piece or in several. */
			do
			:: myHead == known -> break
			:: myHead < known ->
				atomic {
					select(n : 1 .. CAP);
					n = (n > known - myHead -> known - myHead : n)
				}
#ifdef BREAK_RELEASE_BEFORE_READ
				head = myHead + n;
#endif
				do
				:: d_step { i < n -> assert(data[(myHead + i - myOrigin + CAP * N) % CAP] == myHead + i + 1); i++ }
				:: d_step { i == n -> i = 0 } break
				od;
#ifdef BREAK_LOAD_SPACE_EVENT_FIRST
				wake = crossed(spaceEvent, myHead + n, myHead);
#endif
#ifndef BREAK_RELEASE_BEFORE_READ
				head = myHead + n;
#endif
#ifndef BREAK_LOAD_SPACE_EVENT_FIRST
				wake = crossed(spaceEvent, myHead + n, myHead);
#endif
				if
				:: d_step { wake -> producerBell = true; wake = false }
				:: !wake
				fi;
				d_step { myHead = myHead + n; n = 0 }
			od
		:: known == myHead && closed ->
			assert(myHead == N);
			break
		:: known == myHead && !closed && hungUp ->
			assert(myHead == tail);
			break
		:: else ->
			/* Sleeps until there is a byte after known. */
#ifdef BREAK_LOOK_BEFORE_DATA_EVENT
			if
			:: tail != known || sendClosed || producerHangup -> goto again
			:: else
			fi;
			dataEvent = known;
#else
			dataEvent = known;
#ifndef BREAK_NO_LOOK_FOR_DATA
			if
			:: tail != known || sendClosed || producerHangup -> goto again
			:: else
			fi;
#endif
#endif
			d_step { consumerBell -> consumerBell = false }
		fi;
again:		skip;
		d_step { known = 0; myOrigin = 0 }
#ifdef CLOSE_READ
	:: myHead > 0 ->
		recvClosed = true;
#ifndef BREAK_NO_RING_AT_CLOSE_READ
		producerBell = true;
#endif
		break
#endif
	od
#ifdef CRASH_CONSUMER
	} unless { consumerDead }
#else
	}
#endif
}

/* The kernel: kills at any moment, then hangs up, then wakes. */
proctype Kernel() {
	if
#ifdef CRASH_PRODUCER
	:: producerDead = true;
		producerHangup = true;
#ifndef BREAK_NO_WAKE_AT_HANGUP
		consumerBell = true
#endif
#endif
#ifdef CRASH_CONSUMER
	:: consumerDead = true;
		consumerHangup = true;
		producerBell = true
#endif
	:: true
	fi
}

init {
	atomic {
		run Producer();
		run Consumer();
		run Kernel()
	}
}
