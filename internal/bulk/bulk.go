// Package bulk copies large blocks past the caches.
//
// A store that goes through the cache first fetches the line from whoever had
// it last. Where the reader runs on a distant CPU, every line of a ring makes
// that trip on each lap, which limits a stream to a fraction of what memory
// could carry. Non-temporal stores skip the fetch. Where the reader shares a
// cache with the writer they are the slower ones. Measured between two CPUs of
// one virtual machine, 64 KiB copies through a ring of 4 MiB, GB/s:
//
//	cache line round trip    ordinary stores    non-temporal
//	 60-200 ns               35                 11-14
//	500-600 ns               2.5-5              15-18
package bulk
