//! Chapter 1: docker ps for one engine.
