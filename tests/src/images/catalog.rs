//! The table of images: what is in each of them and how it starts. Data only.
//!
//! The shop has two tiers. `front` is nginx; Lua inside of it asks `store`, which is redis. Both stand on `base`, a
//! busybox, so that one can have a shell in them and `kubectl cp` finds its tar.

use image::build::userland::{Package, Part};

/// The suite that all packages come from: the one of the product, so that most are in its cache already.
const SUITE: &str = "forky";

/// One image.
#[derive(Clone, Copy)]
pub struct Image {
    /// What the cluster calls it.
    pub name: &'static str,
    /// Its archive's name, without a suffix.
    pub file: &'static str,
    /// From the bottom up. Layers that are the same in two images have the same bytes.
    pub layers: &'static [&'static Layer],
    /// How it starts.
    pub start: Start,
}

/// One layer.
pub struct Layer {
    /// Foreign software; the libraries it needs come with it.
    pub packages: &'static [Package],
    /// Folders: path, mode, owner.
    pub folders: &'static [(&'static str, u32, u64)],
    /// Files of our own, mode 0644.
    pub files: &'static [(&'static str, &'static str)],
    /// Symbolic links: path and target.
    pub links: &'static [(&'static str, &'static str)],
    /// Names in /usr/bin that are links to busybox.
    pub applets: &'static [&'static str],
}

/// How an image starts, as in its configuration.
#[derive(Clone, Copy)]
pub struct Start {
    /// Numeric user and group, so that `runAsNonRoot` can be checked.
    pub user: &'static str,
    /// The program and its fixed arguments.
    pub entrypoint: &'static [&'static str],
    /// Arguments that a pod may replace.
    pub arguments: &'static [&'static str],
    /// TCP ports.
    pub ports: &'static [u16],
    /// What asks it to end.
    pub stop_signal: &'static str,
    /// Where it starts.
    pub folder: &'static str,
}

/// Who nginx runs as.
const WEB: u64 = 33;
/// Who redis runs as.
const STORE: u64 = 999;

const fn take(name: &'static str, files: &'static [&'static str]) -> Package {
    Package { suite: SUITE, name, part: Part::Core, files }
}

/// The lowest layer of everything: a shell, a few hundred commands' worth of busybox, users and empty folders.
const BASE: Layer = Layer {
    packages: &[take("busybox-static", &["usr/bin/busybox"])],
    folders: &[
        ("dev", 0o755, 0),
        ("etc", 0o755, 0),
        ("proc", 0o555, 0),
        ("root", 0o700, 0),
        ("run", 0o755, 0),
        ("sys", 0o555, 0),
        ("tmp", 0o1777, 0),
        ("var", 0o755, 0),
    ],
    files: &[
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/tmp:/bin/sh\nredis:x:999:999::/data:/bin/sh\n"),
        ("etc/group", "root:x:0:\nwww-data:x:33:\nredis:x:999:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ],
    links: &[],
    applets: &[
        "ash",
        "awk",
        "base64",
        "basename",
        "cat",
        "chmod",
        "chown",
        "clear",
        "cp",
        "cut",
        "date",
        "dd",
        "df",
        "dirname",
        "du",
        "echo",
        "env",
        "expr",
        "false",
        "find",
        "free",
        "grep",
        "head",
        "hostname",
        "httpd",
        "id",
        "ifconfig",
        "ip",
        "kill",
        "killall",
        "less",
        "ln",
        "ls",
        "md5sum",
        "mkdir",
        "mknod",
        "mktemp",
        "mount",
        "mv",
        "nc",
        "netstat",
        "nslookup",
        "od",
        "pidof",
        "ping",
        "printf",
        "ps",
        "pwd",
        "readlink",
        "rm",
        "rmdir",
        "sed",
        "seq",
        "sh",
        "sha256sum",
        "sleep",
        "sort",
        "stat",
        "stty",
        "sync",
        "tail",
        "tar",
        "tee",
        "test",
        "time",
        "timeout",
        "top",
        "touch",
        "tr",
        "true",
        "umount",
        "uname",
        "uniq",
        "uptime",
        "vi",
        "wc",
        "wget",
        "which",
        "whoami",
        "xargs",
        "yes",
    ],
};

/// nginx with Lua and the client for redis.
const FRONT: Layer = Layer {
    packages: &[
        take("nginx", &["usr/sbin/nginx"]),
        take("nginx-common", &["etc/nginx/mime.types"]),
        take("libnginx-mod-http-ndk", &["usr/lib/nginx/modules/ndk_http_module.so"]),
        take("libnginx-mod-http-lua", &["usr/lib/nginx/modules/ngx_http_lua_module.so"]),
        take("lua-resty-core", &["usr/share/lua/5.1/"]),
        take("lua-resty-lrucache", &["usr/share/lua/5.1/"]),
        take("lua-nginx-redis", &["usr/share/lua/5.1/"]),
        take("libc6", &[]),
        take("libcrypt1", &[]),
        take("libgcc-s1", &[]),
        take("libluajit-5.1-2", &[]),
        take("libpcre2-8-0", &[]),
        take("libssl3t64", &[]),
        take("libzstd1", &[]),
        take("zlib1g", &[]),
    ],
    folders: &[("usr/share/nginx", 0o755, 0), ("var/log/nginx", 0o755, WEB)],
    files: &[("etc/nginx/nginx.conf", include_str!("front.conf"))],
    links: &[],
    applets: &[],
};

/// What differs between the two versions of the front: one small file.
const FIRST: Layer = Layer { files: &[("usr/share/shop/version", "v1\n")], ..EMPTY };
const SECOND: Layer = Layer { files: &[("usr/share/shop/version", "v2\n")], ..EMPTY };

const EMPTY: Layer = Layer { packages: &[], folders: &[], files: &[], links: &[], applets: &[] };

/// redis: the server is one program under several names.
const REDIS: Layer = Layer {
    packages: &[
        take("redis-tools", &["usr/bin/redis-check-rdb", "usr/bin/redis-cli"]),
        take("libatomic1", &[]),
        take("libc6", &[]),
        take("libcap2", &[]),
        take("libgcc-s1", &[]),
        take("libjemalloc2", &[]),
        take("liblzf1", &[]),
        take("libssl3t64", &[]),
        take("libstdc++6", &[]),
        take("libsystemd0", &[]),
        take("libzstd1", &[]),
        take("zlib1g", &[]),
    ],
    folders: &[("data", 0o755, STORE)],
    files: &[],
    links: &[("usr/bin/redis-server", "redis-check-rdb")],
    applets: &[],
};

const SERVE: Start = Start {
    user: "33:33",
    entrypoint: &["/usr/sbin/nginx", "-e", "stderr", "-g", "daemon off;"],
    arguments: &["-c", "/etc/nginx/nginx.conf"],
    ports: &[8080],
    stop_signal: "SIGQUIT",
    folder: "/",
};

/// All of them.
pub const IMAGES: &[Image] = &[
    Image {
        name: "shop.local/tools:v1",
        file: "tools",
        layers: &[&BASE],
        start: Start {
            user: "0:0",
            entrypoint: &[],
            arguments: &["/bin/sh"],
            ports: &[],
            stop_signal: "SIGTERM",
            folder: "/",
        },
    },
    Image { name: "shop.local/front:v1", file: "front-v1", layers: &[&BASE, &FRONT, &FIRST], start: SERVE },
    Image { name: "shop.local/front:v2", file: "front-v2", layers: &[&BASE, &FRONT, &SECOND], start: SERVE },
    Image {
        name: "shop.local/store:v1",
        file: "store",
        layers: &[&BASE, &REDIS],
        start: Start {
            user: "999:999",
            entrypoint: &["/usr/bin/redis-server"],
            arguments: &["--bind", "*", "--protected-mode", "no"],
            ports: &[6379],
            stop_signal: "SIGTERM",
            folder: "/data",
        },
    },
];

/// Docker's client and its plug-ins, which run on this host: Debian's, of the version that the machine's Docker has.
pub const CLIENT: &[Package] = &[
    take("docker-cli", &["usr/bin/docker"]),
    take("docker-buildx", &["usr/libexec/docker/cli-plugins/docker-buildx"]),
    take("docker-compose", &["usr/libexec/docker/cli-plugins/docker-compose"]),
];

/// The image of this name.
pub fn image(name: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.name == name)
}

/// Every package that the images are made from and that runs on this host, once.
pub fn packages() -> Vec<&'static Package> {
    let of_images = IMAGES.iter().flat_map(|image| image.layers).flat_map(|layer| layer.packages);
    let mut all: Vec<&Package> = of_images.chain(CLIENT).collect();
    all.sort_by_key(|package| package.name);
    all.dedup_by_key(|package| package.name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::build::packages::lock::Lock;

    #[test]
    fn the_committed_lock_pins_exactly_the_packages_of_the_table() {
        let lock = Lock::parse(include_str!("../../images/packages.lock")).unwrap();
        let wanted: Vec<_> = packages().iter().map(|package| package.key()).collect();
        assert_eq!(lock.pins.into_keys().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn no_two_images_share_a_name_or_a_file() {
        let mut names: Vec<&str> = IMAGES.iter().flat_map(|image| [image.name, image.file]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 2 * IMAGES.len());
    }
}
