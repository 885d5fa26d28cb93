//! What is decoded is never trusted: any bytes are an answer or an error, never a panic.

use proptest::prelude::*;

use super::log::command;
use crate::codec::{Decoder, encode_command, encode_item};
use crate::mvcc::{Command, Mvcc};

proptest! {
    /// Whatever is on the disk, reading it is an answer or an error.
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _answer = Decoder::new(&bytes).command();
        let _answer = Decoder::new(&bytes).item();
    }

    /// What was encoded, with a byte changed, still is an answer or an error.
    #[test]
    fn damaged_commands_are_decoded_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        encode_command(&command(5), &mut bytes);
        prop_assert_eq!(Decoder::new(&bytes).command(), Ok(command(5)));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _answer = Decoder::new(&bytes).command();
    }
}

#[test]
fn items_are_decoded_as_they_were() {
    let mut mvcc = Mvcc::default();
    mvcc.apply(&Command::LeaseGrant {
        id: 5,
        ttl_seconds: 9,
    })
    .expect("granted");
    mvcc.apply(&command(3)).expect("put");
    let mut bytes = Vec::new();
    let items: Vec<_> = mvcc.items().collect();
    items.iter().for_each(|item| encode_item(item, &mut bytes));
    let mut decoder = Decoder::new(&bytes);
    for item in items {
        assert_eq!(decoder.item(), Ok(item));
    }
    assert!(decoder.is_empty());
}
