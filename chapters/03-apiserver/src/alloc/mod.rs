//! Allocation: the addresses and ports that Services are given, and the names of what has none.
//!
//! Two sets of what is taken, kept in memory and made anew from the Services at each start. A
//! write claims first ([`ServiceAllocator::allocate`]), then goes to the store, and then either
//! keeps what it claimed ([`ServiceAllocator::commit`]) or gives it back
//! ([`ServiceAllocator::undo`]), so that neither a failed write nor a dry run leaks.
//!
//! Each range has a lower band that is given only to who asks for it by value, so that `kube-dns`
//! finds 10.96.0.10 free however many Services there are.
//!
//! Upstream keeps the sets as objects of their own (IPAddress, a port bitmap), since its servers
//! are many: `pkg/registry/core/service/{ipallocator,portallocator}/`, `…/storage/alloc.go`. Left
//! out: IPv6, and the health check port of a load balancer.

pub mod range;
mod services;
#[cfg(test)]
mod tests;

pub use services::{Allocation, ServiceAllocator, carry_over};

/// What upstream's generated names are made of: no vowels, so that no words come out, and nothing
/// that looks like something else.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random characters: the end of a generated name.
pub fn name_suffix() -> String {
    let mut random = random();
    std::iter::repeat_with(|| {
        let letter = NAME_ALPHABET[(random % NAME_ALPHABET.len() as u128) as usize];
        random /= NAME_ALPHABET.len() as u128;
        char::from(letter)
    })
    .take(5)
    .collect()
}

/// Over a hundred random bits.
fn random() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}
