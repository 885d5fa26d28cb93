//! The checks of chapter 5's exercises and of its planted bugs.

#[path = "exercises/bugs.rs"]
mod bugs;
#[path = "exercises/containers.rs"]
mod containers;
#[path = "exercises/init.rs"]
mod init;
#[path = "exercises/made.rs"]
mod made;
#[path = "exercises/phase.rs"]
mod phase;
#[path = "exercises/pods.rs"]
mod pods;
