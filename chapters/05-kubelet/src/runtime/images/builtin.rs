//! The images that need no network: parts of this workspace, and of the machine.
//!
//! | image | what it is |
//! | --- | --- |
//! | `workshop/echo` | the web server of `images/echo`, from beside the running program |
//! | `workshop/dns` | the `cluster` program, which is the cluster's name server too |
//! | `workshop/shell` | the machine's own `/usr` read-only: a shell, and whatever is installed |
//!
//! A program that is linked statically is all that its image holds. One that is not (a debug
//! build) gets the machine's libraries along.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::reference::Reference;
use super::store::{ImageConfig, ImageRecord, ImageStore};
use super::unpack::layer_name;

/// Where the programs of an installed system and their libraries are.
const LIBRARY_DIRS: [&str; 5] = ["/lib", "/lib64", "/lib32", "/usr/lib", "/usr/lib64"];
/// What of `/etc` the machine's programs need to run.
const ETC_PATHS: [&str; 6] = [
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
];
/// Where pods are shown their token. To find the place, as for what is mounted in every container,
/// is quicker than to make it anew each time.
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Whether a reference names one of these, whatever its tag.
pub fn is_builtin(reference: &Reference) -> bool {
    let names = ["workshop/echo", "workshop/dns", "workshop/shell"];
    reference.registry == "docker.io" && names.contains(&reference.repository.as_str())
}

/// Puts the images that this machine has into a store. What is there and still true is left alone.
pub fn install(store: &ImageStore) -> io::Result<()> {
    let mut wanted = vec![("shell", shell())];
    if let Some(program) = find_program("echo", "WORKSHOP_ECHO") {
        wanted.push(("echo", image_of(program, "/echo", &[])?));
    }
    if let Some(program) = find_program("cluster", "WORKSHOP_CLUSTER") {
        wanted.push(("dns", image_of(program, "/cluster", &["dns"])?));
    }
    let index = store.read_index()?;
    let mut made = BTreeMap::new();
    for (name, image) in wanted {
        let reference = format!("docker.io/workshop/{name}:latest");
        let layer = layer_name(&image.id());
        let known = index.references.get(&reference) == Some(&image.id());
        if !known || !store.layers_dir().join(&layer).exists() {
            made.insert(reference, image.make(store, layer)?);
        }
    }
    if made.is_empty() {
        return Ok(());
    }
    store.change_index(|index| {
        for (reference, record) in made {
            let id = record.id.clone();
            let old = index.references.insert(reference, id.clone());
            if let Some(old) = old.filter(|old| *old != id) {
                index.images.remove(&old);
            }
            index.images.insert(id, record);
        }
    })
}

/// A built-in image that may have to be made.
struct Builtin {
    config: ImageConfig,
    host_paths: Vec<PathBuf>,
    /// A program of the machine, and its path in the image.
    program: Option<(PathBuf, &'static str, Metadata)>,
    /// Folders, files and symlinks of its only layer.
    dirs: Vec<PathBuf>,
    files: Vec<(&'static str, &'static str)>,
    links: Vec<(PathBuf, PathBuf)>,
}

impl Builtin {
    /// Says what it is made of. A program is told from its earlier builds by its place, size and
    /// time, since hashing it would cost more than all else that a node does when it starts.
    fn id(&self) -> String {
        let program = self.program.as_ref().map(|(_, path, metadata)| {
            (
                path,
                metadata.ino(),
                metadata.size(),
                metadata.mtime(),
                metadata.mtime_nsec(),
            )
        });
        let description = (
            &self.config,
            &self.host_paths,
            program,
            &self.dirs,
            &self.files,
            &self.links,
        );
        let text = serde_json::to_vec(&description).expect("strings and numbers");
        format!("sha256:{:x}", Sha256::digest(text))
    }

    fn dirs_of_host(&self) -> impl Iterator<Item = &Path> {
        self.host_paths
            .iter()
            .filter(|path| path.is_dir())
            .map(PathBuf::as_path)
    }

    fn make(&self, store: &ImageStore, layer: String) -> io::Result<ImageRecord> {
        let temporary = store.temporary();
        std::fs::create_dir(&temporary)?;
        let inside = |path: &Path| temporary.join(path.strip_prefix("/").unwrap_or(path));
        for dir in &self.dirs {
            std::fs::create_dir_all(inside(dir))?;
            let mode = if dir.ends_with("tmp") { 0o1777 } else { 0o755 };
            std::fs::set_permissions(inside(dir), Permissions::from_mode(mode))?;
        }
        // What will be mounted there in every container.
        for dir in ["/proc", "/sys", "/dev", "/etc"]
            .iter()
            .map(Path::new)
            .chain(self.dirs_of_host())
        {
            std::fs::create_dir_all(inside(dir))?;
        }
        let files = self
            .host_paths
            .iter()
            .filter(|path| !path.is_dir())
            .map(PathBuf::as_path);
        for file in ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
            .iter()
            .map(Path::new)
            .chain(files)
        {
            std::fs::write(inside(file), "")?;
        }
        for (path, text) in &self.files {
            std::fs::write(inside(Path::new(path)), text)?;
        }
        for (link, target) in &self.links {
            symlink(target, inside(link))?;
        }
        let mut size_bytes = 0;
        if let Some((program, path, metadata)) = &self.program {
            size_bytes = metadata.len();
            let path = inside(Path::new(path));
            // The same file where it can be: what the page cache holds of it is shared then.
            if std::fs::hard_link(program, &path).is_err() {
                std::fs::copy(program, &path)?;
            }
        }
        match std::fs::rename(&temporary, store.layers_dir().join(&layer)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::fs::remove_dir_all(&temporary)?;
            }
            renamed => renamed?,
        }
        Ok(ImageRecord {
            id: self.id(),
            config: self.config.clone(),
            layers: vec![layer],
            host_paths: self.host_paths.clone(),
            size_bytes,
        })
    }
}

/// A program of the workshop: named by a variable, or beside the running one, or the running one.
fn find_program(name: &str, variable: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    // The file that runs may have been replaced by a later build; its name then ends in this.
    let running = std::env::current_exe().ok()?;
    let text = running.to_string_lossy();
    let running = Path::new(text.strip_suffix(" (deleted)").unwrap_or(&text)).to_owned();
    let dirs = running.ancestors().skip(1).take(2);
    dirs.map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn image_of(program: PathBuf, path: &'static str, args: &[&str]) -> io::Result<Builtin> {
    let file = File::open(&program)?;
    let metadata = file.metadata()?;
    let mut dirs: Vec<PathBuf> = ["/etc", "/tmp", TOKEN_DIR].map(PathBuf::from).into();
    let (mut host_paths, mut links) = (Vec::new(), Vec::new());
    if is_dynamic(file)? {
        (host_paths, links) = on_this_machine(&LIBRARY_DIRS);
        host_paths.push("/etc/ld.so.cache".into());
        host_paths.retain(|path| path.exists());
        dirs.push("/usr".into());
    }
    let entrypoint = std::iter::once(path)
        .chain(args.iter().copied())
        .map(String::from);
    Ok(Builtin {
        config: ImageConfig {
            entrypoint: entrypoint.collect(),
            ..ImageConfig::default()
        },
        host_paths,
        program: Some((program, path, metadata)),
        dirs,
        files: vec![("/etc/passwd", PASSWD), ("/etc/group", GROUP)],
        links,
    })
}

fn shell() -> Builtin {
    let (mut host_paths, links) = on_this_machine(&[
        "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/usr", "/nix", "/opt",
    ]);
    host_paths.extend(
        ETC_PATHS
            .map(PathBuf::from)
            .into_iter()
            .filter(|path| path.exists()),
    );
    let dirs = [
        "/etc", "/tmp", "/root", "/home", "/var/tmp", TOKEN_DIR, "/run", "/mnt",
    ];
    Builtin {
        config: ImageConfig {
            cmd: vec!["/bin/sh".into()],
            working_dir: "/root".into(),
            ..ImageConfig::default()
        },
        host_paths,
        program: None,
        dirs: dirs.map(PathBuf::from).into(),
        files: vec![
            ("/etc/passwd", PASSWD),
            ("/etc/group", GROUP),
            (
                "/etc/nsswitch.conf",
                "passwd: files\ngroup: files\nhosts: files dns\n",
            ),
        ],
        links,
    }
}

/// Of some folders of `/`, those that are there, and those that are only links into `/usr`.
fn on_this_machine(paths: &[&str]) -> (Vec<PathBuf>, Vec<(PathBuf, PathBuf)>) {
    let (mut dirs, mut links) = (Vec::new(), Vec::new());
    for path in paths.iter().map(PathBuf::from) {
        match std::fs::read_link(&path) {
            Ok(target) => links.push((path, target)),
            Err(_) if path.is_dir() => dirs.push(path),
            Err(_) => {}
        }
    }
    (dirs, links)
}

/// Whether an ELF program asks for a loader (a program header of type `PT_INTERP`).
fn is_dynamic(mut file: File) -> io::Result<bool> {
    let mut head = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut head)?;
    let u16_at = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let read = || {
        let (offset, size, count) = (u64_at(32)?, u16_at(54)?, u16_at(56)?);
        let headers = (0..count).map(|n| {
            usize::try_from(offset)
                .ok()
                .map(|o| o + usize::from(n) * usize::from(size))
        });
        headers.map(|at| u16_at(at?)).collect::<Option<Vec<u16>>>()
    };
    const PT_INTERP: u16 = 3;
    Ok(head.starts_with(b"\x7fELF") && read().is_none_or(|kinds| kinds.contains(&PT_INTERP)))
}
