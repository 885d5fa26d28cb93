//! Chapter 7: reflector, store, indexer, queue, shared informer, work queue.
