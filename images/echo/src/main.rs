//! The workshop/echo image: a web server that says who and where it is.

fn main() {}
