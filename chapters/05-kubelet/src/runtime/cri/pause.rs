//! The pause container: a program that holds a pod's namespaces open and does nothing else.
//!
//! A CRI runtime makes a pod's sandbox out of a container, so that there is a process for the
//! namespaces to belong to, however often the pod's own containers come and go. Where they share
//! their process namespace it is process 1 and has to reap orphans. Upstream's is a page of C
//! (`build/pause/linux/pause.c`); this one is its machine code, since an image needs a program
//! that stands alone:
//!
//! ```text
//! rt_sigaction(SIGCHLD, SIG_IGN)   whose children end needs not be told: no zombies
//! loop: pause()                    SIGTERM means nothing to a process 1 that has no handler
//! ```

use std::fs::File;
use std::io::Write;

use crate::runtime::Result;
use crate::runtime::RuntimeError;
use crate::runtime::images::{ImageConfig, ImageStore, Scratch};

/// The image that holds it.
pub const REFERENCE: &str = "docker.io/workshop/pause:latest";

/// Where the program is in memory.
const ADDRESS: u64 = 0x40_0000;
/// Bytes of the ELF header and its one program header.
const HEADERS: u64 = 64 + 56;

/// For x86-64.
const CODE: [u8; 72] = {
    let mut code = [0; 72];
    let text: [u8; 36] = [
        0xb8, 13, 0, 0, 0, // mov eax, rt_sigaction
        0xbf, 17, 0, 0, 0, // mov edi, SIGCHLD
        0x48, 0x8d, 0x35, 23, 0, 0, 0, // lea rsi, [rip + 23]: the action, below
        0x31, 0xd2, // xor edx, edx
        0x41, 0xba, 8, 0, 0, 0, // mov r10d, 8: bytes of a signal mask
        0x0f, 0x05, // syscall
        0xb8, 34, 0, 0, 0, // mov eax, pause
        0x0f, 0x05, // syscall
        0xeb, 0xf7, // jmp, two lines up
    ];
    let mut at = 0;
    while at < text.len() {
        code[at] = text[at];
        at += 1;
    }
    // The action: handler SIG_IGN, no flags, no restorer, no mask.
    code[40] = 1;
    code
};

/// The image as an archive.
///
/// # Errors
/// On a machine that is no x86-64, or when the archive cannot be written.
pub fn archive(store: &ImageStore) -> Result<Scratch> {
    if std::env::consts::ARCH != "x86_64" {
        let message = "the workshop's pause image is for x86-64 only; name another one";
        return Err(RuntimeError::Other(message.to_owned()));
    }
    let config = ImageConfig {
        entrypoint: vec!["/pause".to_owned()],
        ..ImageConfig::default()
    };
    let layer = |file: &mut File| {
        let program = program();
        let mut tar = tar::Builder::new(file);
        let mut header = tar::Header::new_gnu();
        header.set_size(program.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, "pause", program.as_slice())?;
        tar.into_inner()?.flush()
    };
    store.archive(REFERENCE, &config, layer)
}

/// The program as a file: headers, code. ELF-64, `elf(5)`.
fn program() -> Vec<u8> {
    let size = HEADERS + CODE.len() as u64;
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend(2u16.to_le_bytes()); // executable
    file.extend(62u16.to_le_bytes()); // x86-64
    file.extend(1u32.to_le_bytes());
    file.extend((ADDRESS + HEADERS).to_le_bytes()); // where it starts
    file.extend(64u64.to_le_bytes()); // where the program header is
    file.extend(0u64.to_le_bytes());
    file.extend(0u32.to_le_bytes());
    for field in [64u16, 56, 1, 0, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes()); // to be loaded
    file.extend(5u32.to_le_bytes()); // readable, executable
    for field in [0, ADDRESS, ADDRESS, size, size, 0x1000] {
        file.extend(field.to_le_bytes());
    }
    file.extend(CODE);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn it_runs_until_it_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, program()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Command::new(&path).spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        // It says that it ignores SIGCHLD (bit 16) when it has come as far as its loop.
        let ignores = || {
            let status = std::fs::read_to_string(&status).unwrap();
            let mut lines = status.lines();
            let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
            let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
            // Whoever started the tests may ignore others, which is inherited.
            ignored & 1 << 16 != 0 && status.contains("State:\tS")
        };
        while !ignores() {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
