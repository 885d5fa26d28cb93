//! What an ambassador does: who connects here talks to somebody else.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};

/// Hands each connection on to `target`, `HOST:PORT`; returns when the listener does.
pub fn serve(listener: &TcpListener, target: &str, say: fn(&str)) {
    for client in listener.incoming() {
        // A client that is gone again is no reason to end.
        let Ok(client) = client else { continue };
        let target = target.to_owned();
        let spawned = std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(move || {
                if let Err(error) = hand_on(&client, &target) {
                    say(&format!("{target}: {error}"));
                }
            });
        if let Err(error) = spawned {
            say(&format!("no thread for a connection: {error}"));
        }
    }
}

/// Copies both ways until both sides have said all.
fn hand_on(client: &TcpStream, target: &str) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    std::thread::scope(|scope| {
        scope.spawn(|| copy(&server, client));
        copy(client, &server);
    });
    Ok(())
}

/// Copies until one side ends, and tells the other that nothing more will come.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _one_of_them_is_gone = io::copy(&mut from, &mut to);
    let _gone_already = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn hands_on_what_is_said_both_ways() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = target.accept().unwrap();
            let mut asked = String::new();
            stream.read_to_string(&mut asked).unwrap();
            stream
                .write_all(format!("you said {asked}").as_bytes())
                .unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener, &address, |_| {}));
        let mut client = TcpStream::connect(here).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "you said hello");
        server.join().unwrap();
    }
}
