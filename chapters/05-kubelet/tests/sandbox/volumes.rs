//! What is mounted in containers, and images as volumes.

use super::*;

#[test]
fn volumes_users_and_capabilities() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("vol")).await.unwrap();
        let volume = node.dir.path().join("volume");
        std::fs::create_dir_all(&volume).unwrap();
        std::fs::write(volume.join("file"), "hello\n").unwrap();
        let mut config = shell(
            "main",
            "cat /data/deep/file; touch /data/deep/y 2>&1; echo x > /rw/x; touch /z 2>&1; \
             grep CapEff /proc/self/status; cat /proc/sys/kernel/hostname; \
             echo 1 2>&1 > /proc/sys/kernel/domainname; pwd",
        );
        let mount = |path: &str, read_only| Mount {
            host_path: volume.clone(),
            container_path: path.into(),
            read_only,
            ..Mount::default()
        };
        config.mounts = vec![mount("/data/deep", true), mount("/rw", false)];
        config.security.read_only_root_filesystem = true;
        config.security.drop_capabilities = vec!["ALL".into()];
        config.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
        config.working_dir = "/srv/made".into();
        let (_, log) = node.run(&sandbox.id, "vol", config).await;
        assert!(log.starts_with("stdout F hello\n"), "{log}");
        assert_eq!(log.matches("Read-only file system").count(), 3, "{log}");
        assert!(log.contains("CapEff:\t0000000000000400"), "{log}");
        assert!(log.ends_with("stdout F /srv/made"), "{log}");
        assert_eq!(std::fs::read_to_string(volume.join("x")).unwrap(), "x\n");
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}

/// A file for `lab load`: an image of that many layers, each with the file `n` and one of its own.
fn image_archive(path: &Path, name: &str, layers: usize) {
    fn add(tar: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    }
    let layer = |number: usize| {
        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, "n", number.to_string().as_bytes());
        add(&mut tar, &format!("layer-{number}"), name.as_bytes());
        tar.into_inner().unwrap()
    };
    let layers: Vec<Vec<u8>> = (0..layers).map(layer).collect();
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{:x}", Sha256::digest(layer)))
        .collect();
    let names: Vec<String> = (0..layers.len()).map(|n| format!("{n}.tar")).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
    add(&mut tar, "manifest.json", manifest.to_string().as_bytes());
    add(&mut tar, "config.json", config.to_string().as_bytes());
    for (name, layer) in names.iter().zip(&layers) {
        add(&mut tar, name, layer);
    }
    tar.finish().unwrap();
}

#[test]
fn an_image_is_a_volume() {
    on_a_node(|| async {
        let node = Node::start().await;
        let sandbox = node.runtime.run_pod_sandbox(node.pod("img")).await.unwrap();
        let store = ImageStore::open(&node.dir.path().join("images")).unwrap();
        for layers in [1, 3] {
            let name = format!("files:{layers}");
            let archive = node.dir.path().join("image.tar");
            image_archive(&archive, &name, layers);
            load_archive(&store, &archive).unwrap();
            let id = node.runtime.image_status(&name).await.unwrap().unwrap().id;
            let volume = node.dir.path().join(format!("volume-{layers}"));
            std::fs::create_dir(&volume).unwrap();
            node.runtime.mount_image(&id, &volume).unwrap();
            node.runtime.mount_image(&id, &volume).unwrap();
            // Who stands on it keeps it.
            node.runtime.remove_image(&id).await.unwrap();

            let mut config = shell("main", "cat /v/n; echo; ls /v; touch /v/x 2>&1");
            config.name = format!("c{layers}");
            config.log_path = format!("c{layers}/0.log").into();
            config.mounts = vec![Mount {
                host_path: volume.clone(),
                container_path: "/v".into(),
                read_only: true,
                ..Mount::default()
            }];
            let (_, log) = node.run(&sandbox.id, "img", config).await;
            let shown = format!("stdout F {}\nstdout F layer-0\n", layers - 1);
            assert!(log.starts_with(&shown), "{log}");
            assert_eq!(log.matches("layer-").count(), layers, "{log}");
            assert!(log.contains("Read-only file system"), "{log}");

            node.runtime.unmount_image(&volume);
            node.runtime.unmount_image(&volume);
            std::fs::remove_dir(&volume).unwrap();
        }
        node.runtime.remove_pod_sandbox(&sandbox.id).await.unwrap();
    });
}
