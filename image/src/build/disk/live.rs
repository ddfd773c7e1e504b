//! The archive that the ISO's kernel unpacks into memory: one program, in the form that the kernel reads
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`, "newc").

/// What is in it, besides the program.
const CONSOLE: Node = Node { name: "dev/console", mode: 0o20_600, device: (5, 1), content: &[] };

struct Node<'a> {
    name: &'a str,
    mode: u32,
    device: (u32, u32),
    content: &'a [u8],
}

/// The archive around the program.
pub fn archive(program: &[u8]) -> Vec<u8> {
    let folder = |name| Node { name, mode: 0o40_755, device: (0, 0), content: &[] };
    let nodes = [
        folder("dev"),
        CONSOLE,
        folder("cd"),
        folder("root"),
        Node { name: "init", mode: 0o100_755, device: (0, 0), content: program },
        Node { name: "TRAILER!!!", mode: 0, device: (0, 0), content: &[] },
    ];
    let mut bytes = Vec::new();
    for (number, node) in (1_u32..).zip(&nodes) {
        let (major, minor) = node.device;
        let fields = [number, node.mode, 0, 0, 1, 0, node.content.len() as u32, 0, 0, major, minor];
        bytes.extend(b"070701");
        for field in fields.into_iter().chain([node.name.len() as u32 + 1, 0]) {
            bytes.extend(format!("{field:08x}").bytes());
        }
        bytes.extend(node.name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(node.content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_their_fixed_length_and_everything_is_aligned() {
        let bytes = archive(b"#!");
        assert_eq!(bytes.len() % 4, 0);
        let at = bytes.windows(5).position(|five| five == b"init\0").unwrap();
        assert_eq!(&bytes[at - 110..at - 104], b"070701");
        assert_eq!(&bytes[at - 110 + 54..at - 110 + 62], b"00000002");
    }
}
