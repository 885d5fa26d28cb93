//! Who is who in the lab: one authority, a certificate for each component, and kubeconfigs.
//!
//! Upstream: `kubeadm init phase certs` and `phase kubeconfig`; the names in the certificates are
//! the users and groups that the bootstrap roles bind
//! (<https://kubernetes.io/docs/setup/best-practices/certificates/>). Keys are ECDSA P-256.
//! Everything lives a year; `lab up` makes what is missing or ends within 30 days anew, and the
//! authority never, so kubeconfigs that were copied elsewhere go on working.

use std::net::IpAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::Error;
use super::layout::Layout;
use super::members::Members;
use super::record::{CONTROL_PLANE, Record, write_atomically};

/// Certificates that end within this time are made anew.
const RENEW_DAYS_BEFORE_END: i64 = 30;

/// A certificate to be made.
struct Identity {
    /// File name without its ending, in `pki/`.
    file: String,
    /// Common name: the user.
    user: String,
    /// Organisation: the group.
    group: Option<&'static str>,
    /// Names and addresses that it serves under; empty for a client.
    serves: Vec<SanType>,
    /// Shown as a client as well, though it serves: etcd's members are both.
    calls: bool,
}

/// Makes what is missing in `pki/`, and all kubeconfigs.
///
/// # Errors
/// When a file cannot be written, or an authority is there whose files cannot be read.
pub fn ensure(layout: &Layout, record: &Record) -> Result<(), Error> {
    let authority = Authority::ensure(layout, "ca", "workshop-ca")?;
    for identity in identities(record) {
        authority.ensure_certificate(layout, &identity)?;
    }
    if let Some(members) = &record.members {
        // Another one: a certificate of the cluster's own must not open its store.
        let authority = Authority::ensure(layout, "etcd-ca", "etcd-ca")?;
        for identity in etcd_identities(members) {
            authority.ensure_certificate(layout, &identity)?;
        }
    }
    ensure_service_account_key(layout)?;

    let inside = format!("https://{}:6443", record.nodes()[0].ip());
    let outside = format!("https://127.0.0.1:{}", record.port);
    let mut files = vec![
        (layout.kubeconfig(), "admin".to_owned(), outside),
        (
            layout.pki_file("scheduler.kubeconfig"),
            "scheduler".into(),
            inside.clone(),
        ),
        (
            layout.pki_file("controllers.kubeconfig"),
            "controllers".into(),
            inside.clone(),
        ),
        (
            layout.pki_file("proxy.kubeconfig"),
            "proxy".into(),
            inside.clone(),
        ),
    ];
    for node in record.nodes() {
        let user = format!("kubelet-{}", node.name);
        files.push((
            layout.pki_file(&format!("{user}.kubeconfig")),
            user,
            inside.clone(),
        ));
    }
    for (path, user, server) in files {
        let text = kubeconfig(layout, &record.name, &user, &server)?;
        write_atomically(&path, text.as_bytes(), 0o600)?;
    }
    Ok(())
}

/// Every certificate of the lab.
fn identities(record: &Record) -> Vec<Identity> {
    let client = |file: &str, user: &str, group| Identity {
        file: file.into(),
        user: user.into(),
        group,
        serves: Vec::new(),
        calls: true,
    };
    let mut identities = vec![
        client("admin", "kubernetes-admin", Some("system:masters")),
        client("scheduler", "system:kube-scheduler", None),
        client("controllers", "system:kube-controller-manager", None),
        client("proxy", "system:kube-proxy", None),
        client(
            "apiserver-kubelet",
            "kube-apiserver-kubelet-client",
            Some("system:masters"),
        ),
        Identity {
            file: "apiserver".into(),
            user: "kube-apiserver".into(),
            group: None,
            serves: [
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "kubernetes.default.svc.cluster.local",
                "localhost",
                CONTROL_PLANE,
            ]
            .map(dns)
            .into_iter()
            .chain(["127.0.0.1", "10.96.0.1"].map(|ip| address(ip.parse().expect("an address"))))
            .chain([address(record.nodes()[0].ip().into())])
            .collect(),
            calls: false,
        },
    ];
    for node in record.nodes() {
        let user = format!("system:node:{}", node.name);
        identities.push(client(
            &format!("kubelet-{}", node.name),
            &user,
            Some("system:nodes"),
        ));
        identities.push(Identity {
            file: format!("kubelet-{}-serving", node.name),
            user,
            group: Some("system:nodes"),
            serves: vec![dns(&node.name), address(node.ip().into())],
            calls: false,
        });
    }
    identities
}

/// What etcd's members and their one client show each other.
fn etcd_identities(members: &Members) -> Vec<Identity> {
    let member = |file: &str| Identity {
        file: file.into(),
        user: CONTROL_PLANE.into(),
        group: None,
        serves: [dns("localhost"), dns(CONTROL_PLANE)]
            .into_iter()
            .chain(members.addresses().map(|ip| address(ip.into())))
            .collect(),
        calls: true,
    };
    let client = Identity {
        file: "apiserver-etcd-client".into(),
        user: "kube-apiserver-etcd-client".into(),
        group: None,
        serves: Vec::new(),
        calls: true,
    };
    vec![member("etcd-server"), member("etcd-peer"), client]
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("names here are ASCII"))
}

fn address(ip: IpAddr) -> SanType {
    SanType::IpAddress(ip)
}

/// The lab's certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority whose files are called `file`.
    fn ensure(layout: &Layout, file: &str, name: &str) -> Result<Self, Error> {
        let of = |ending: &str| layout.pki_file(&format!("{file}.{ending}"));
        let (certificate, key) = (of("crt"), of("key"));
        if !certificate.exists() || !key.exists() {
            let pair = KeyPair::generate().map_err(Error::pki)?;
            let mut params = params(name, None);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            // The authority outlives ten years of certificates.
            let (year, month, day) = date(10);
            params.not_after = rcgen::date_time_ymd(year, month, day);
            let made = params.self_signed(&pair).map_err(Error::pki)?;
            write_atomically(&key, pair.serialize_pem().as_bytes(), 0o600)?;
            write_atomically(&certificate, made.pem().as_bytes(), 0o644)?;
        }
        let pair = KeyPair::from_pem(&read(&key)?).map_err(Error::pki)?;
        let issuer = Issuer::from_ca_cert_pem(&read(&certificate)?, pair).map_err(Error::pki)?;
        Ok(Self { issuer })
    }

    fn ensure_certificate(&self, layout: &Layout, identity: &Identity) -> Result<(), Error> {
        let certificate = layout.pki_file(&format!("{}.crt", identity.file));
        let key = layout.pki_file(&format!("{}.key", identity.file));
        if key.exists() && lasts(&certificate) {
            return Ok(());
        }
        let pair = KeyPair::generate().map_err(Error::pki)?;
        let mut params = params(&identity.user, identity.group);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        let serves = !identity.serves.is_empty();
        let uses = [
            (serves, ExtendedKeyUsagePurpose::ServerAuth),
            (identity.calls, ExtendedKeyUsagePurpose::ClientAuth),
        ];
        params.extended_key_usages = (uses.into_iter())
            .filter_map(|(is_used, usage)| is_used.then_some(usage))
            .collect();
        params.subject_alt_names = identity.serves.clone();
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&pair, &self.issuer).map_err(Error::pki)?;
        write_atomically(&key, pair.serialize_pem().as_bytes(), 0o600)?;
        write_atomically(&certificate, made.pem().as_bytes(), 0o644)
    }
}

fn params(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    // From yesterday, since clocks differ.
    let ((year, month, day), (end_year, end_month, end_day)) = (date(0), date(1));
    params.not_before = rcgen::date_time_ymd(year, month, day);
    params.not_after = rcgen::date_time_ymd(end_year, end_month, end_day);
    params
}

/// Year, month and day (UTC) of yesterday, so many years on.
fn date(years: i64) -> (i32, u8, u8) {
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let date = today.saturating_sub(1.day()).saturating_add(years.years());
    (date.year().into(), date.month() as u8, date.day() as u8)
}

/// The key that signs service account tokens: the API server's alone.
fn ensure_service_account_key(layout: &Layout) -> Result<(), Error> {
    let path = layout.pki_file("sa.key");
    if path.exists() {
        return Ok(());
    }
    let pair = KeyPair::generate().map_err(Error::pki)?;
    write_atomically(
        &layout.pki_file("sa.pub"),
        pair.public_key_pem().as_bytes(),
        0o644,
    )?;
    write_atomically(&path, pair.serialize_pem().as_bytes(), 0o600)
}

/// Whether the certificate is there, readable, and does not end soon.
fn lasts(certificate: &Path) -> bool {
    let Ok(pem) = std::fs::read(certificate) else {
        return false;
    };
    let Ok((_rest, pem)) = x509_parser::pem::parse_x509_pem(&pem) else {
        return false;
    };
    let Ok(parsed) = pem.parse_x509() else {
        return false;
    };
    let renew_at = Timestamp::now().as_second() + RENEW_DAYS_BEFORE_END * 24 * 60 * 60;
    parsed.validity().not_after.timestamp() > renew_at
}

/// A kubeconfig with everything in it, so that it can be copied elsewhere.
fn kubeconfig(layout: &Layout, lab: &str, user: &str, server: &str) -> Result<String, Error> {
    let data = |name: &str| read(&layout.pki_file(name)).map(|text| BASE64.encode(text));
    let (authority, certificate, key) = (
        data("ca.crt")?,
        data(&format!("{user}.crt"))?,
        data(&format!("{user}.key"))?,
    );
    Ok(format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: workshop-{lab}\n\
         clusters:\n\
         - name: workshop-{lab}\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {authority}\n\
         users:\n\
         - name: workshop-{lab}-{user}\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n\
         contexts:\n\
         - name: workshop-{lab}\n\
         \x20 context:\n\
         \x20   cluster: workshop-{lab}\n\
         \x20   user: workshop-{lab}-{user}\n"
    ))
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_everything_once_and_renews_nothing_fresh() {
        let dir = std::env::temp_dir().join(format!("workshop-pki-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("pki")).unwrap();
        let layout = Layout::at(&dir);
        let record = Record {
            name: "x".into(),
            port: 6443,
            workers: 1,
            runtime: crate::lab::record::Runtime::Embedded,
            network: 0,
            scheduler: None,
            members: None,
            supervisor: None,
        };
        ensure(&layout, &record).unwrap();
        let first = read(&layout.kubeconfig()).unwrap();
        assert!(first.contains("server: https://127.0.0.1:6443"), "{first}");
        assert!(lasts(&layout.pki_file("kubelet-worker-1-serving.crt")));
        ensure(&layout, &record).unwrap();
        assert_eq!(first, read(&layout.kubeconfig()).unwrap());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
