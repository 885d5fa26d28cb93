//! The server as a process of its own, and certificates for it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

pub struct Server {
    process: Child,
    /// Where it listens.
    pub url: String,
    folder: tempfile::TempDir,
}

fn program() -> PathBuf {
    let program = std::env::var_os("WORKSHOP_STORE").expect("WORKSHOP_STORE names the server");
    program.into()
}

impl Server {
    /// Starts one with an empty store; with TLS if a flag names a certificate.
    pub fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::over(folder, flags)
    }

    fn over(folder: tempfile::TempDir, flags: &[&str]) -> Self {
        let has_tls = flags.iter().any(|flag| flag.starts_with("--cert-file"));
        let scheme = if has_tls { "https" } else { "http" };
        let mut process = Command::new(program())
            .arg("serve")
            .arg(format!("--listen-client-urls={scheme}://127.0.0.1:0"))
            .arg("--data-dir")
            .arg(folder.path().join("store"))
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let url = (lines.by_ref().map_while(Result::ok))
            .find_map(|line| Some(line.split_once("listening url=")?.1.to_owned()));
        // What it says later is of no interest, and must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            process,
            url: url.expect("it says where it listens"),
            folder,
        }
    }

    /// Another server, over what is restored from a snapshot.
    pub fn restore(&self, snapshot: &[u8]) -> Self {
        let file = self.folder.path().join("snapshot");
        std::fs::write(&file, snapshot).expect("a file");
        let folder = tempfile::tempdir().expect("a folder");
        let restored = Command::new(program())
            .arg("restore")
            .arg(file)
            .arg("--data-dir")
            .arg(folder.path().join("store"))
            .status();
        assert!(restored.expect("it runs").success());
        Self::over(folder, &[])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ended_already = self.process.wait();
    }
}

/// An authority, and certificates of it.
pub struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { folder, issuer }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn issue(&self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(hosts).expect("names");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let write = |file: String, text| {
            std::fs::write(self.folder.path().join(file), text).expect("a file");
        };
        write(format!("{name}.pem"), signed.pem());
        write(format!("{name}.key"), key.serialize_pem());
    }

    pub fn path(&self, name: &str) -> String {
        Path::display(&self.folder.path().join(name)).to_string()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }
}
