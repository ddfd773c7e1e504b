//! The power button: the kernel tells of ACPI events by generic netlink (family `acpi_event`), so no input device and
//! no daemon is needed.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// Longer messages than this are not the kernel's.
const MESSAGE_BYTES_MAX: usize = 8192;
/// The family that tells of families, and its one command needed here (linux/genetlink.h).
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_NAME: u16 = 2;
const FAMILY_GROUPS: u16 = 7;
const GROUP_ID: u16 = 2;
/// The one attribute of an event: `struct acpi_genl_event`, which begins with 20 bytes of device class.
const EVENT: u16 = 1;
const CLASS_BYTES: usize = 20;
/// The header of a netlink message and that of generic netlink.
const HEADERS: usize = 16 + 4;

/// The power button, listened to from the moment at which this is made.
pub struct Button(AsyncFd<OwnedFd>);

impl Button {
    /// Begins to listen; none when this kernel has no ACPI, so that there is no button. It waits for nothing: the kernel
    /// answers while it is asked.
    pub fn listen() -> io::Result<Option<Button>> {
        let socket = sys::watch::readable(sys::socket::netlink(sys::socket::Netlink::Generic, 0)?)?;
        nix::unistd::write(socket.get_ref(), &family_request("acpi_event"))?;
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        let length = nix::unistd::read(socket.get_ref(), &mut message)?;
        let Some(group) = group_of(&message[..length]) else { return Ok(None) };
        sys::socket::join_netlink_group(socket.get_ref(), group)?;
        Ok(Some(Button(socket)))
    }

    /// Waits until it is pressed.
    pub async fn pressed(&self) -> io::Result<()> {
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        loop {
            let length = read(&self.0, &mut message).await?;
            if event_class(&message[..length]).is_some_and(|class| class.starts_with(b"button/power")) {
                return Ok(());
            }
        }
    }
}

async fn read(socket: &AsyncFd<OwnedFd>, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(result) = ready.try_io(|socket| Ok(nix::unistd::read(socket.get_ref(), into)?)) {
            return result;
        }
    }
}

fn family_request(name: &str) -> Vec<u8> {
    let mut value = name.as_bytes().to_vec();
    value.push(0);
    let attribute = attribute(FAMILY_NAME, &value);
    let length = u32::try_from(HEADERS + attribute.len()).expect("a short name");
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(CONTROLLER.to_ne_bytes());
    out.extend(1_u16.to_ne_bytes()); // NLM_F_REQUEST
    out.extend([0; 8]); // sequence and port
    out.extend([GET_FAMILY, 1, 0, 0]);
    out.extend(attribute);
    out
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("short");
    let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// The attributes in a row of them; stops at one that is cut short.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        // The two highest bits of the type are flags.
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(own, _)| *own == kind).map(|(_, value)| value)
}

/// The number of the family's first multicast group; `None` in an answer that there is no such family.
fn group_of(message: &[u8]) -> Option<u32> {
    if u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?) != CONTROLLER {
        return None;
    }
    let groups = find(message.get(HEADERS..)?, FAMILY_GROUPS)?;
    let (_, first) = attributes(groups).next()?;
    Some(u32::from_ne_bytes(find(first, GROUP_ID)?.try_into().ok()?))
}

fn event_class(message: &[u8]) -> Option<&[u8]> {
    find(message.get(HEADERS..)?, EVENT)?.get(..CLASS_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(family: u16, attributes: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(HEADERS + attributes.len()).unwrap().to_ne_bytes().to_vec();
        out.extend(family.to_ne_bytes());
        out.resize(HEADERS, 0);
        out.extend(attributes);
        out
    }

    #[test]
    fn the_group_is_found_in_the_kernel_s_answer() {
        let group = [attribute(1, b"acpi_mc_group\0"), attribute(GROUP_ID, &5_u32.to_ne_bytes())].concat();
        let answer =
            [attribute(FAMILY_NAME, b"acpi_event\0"), attribute(FAMILY_GROUPS | 0x8000, &attribute(1, &group))];
        assert_eq!(group_of(&message(CONTROLLER, &answer.concat())), Some(5));
        assert_eq!(group_of(&message(2, &(-2_i32).to_ne_bytes())), None);
    }

    #[test]
    fn only_the_power_button_counts() {
        let mut event = b"button/power\0".to_vec();
        event.resize(44, 0);
        let pressed = message(25, &attribute(EVENT, &event));
        assert!(event_class(&pressed).unwrap().starts_with(b"button/power"));
        for length in 0..pressed.len() {
            event_class(&pressed[..length]);
            group_of(&pressed[..length]);
        }
    }

    /// The kernel of any Linux machine answers for the family `nlctrl` itself, which has one group.
    #[test]
    fn a_real_kernel_understands_the_question() {
        let socket = sys::socket::netlink(sys::socket::Netlink::Generic, 0).unwrap();
        nix::unistd::write(&socket, &family_request("nlctrl")).unwrap();
        let mut answer = vec![0; MESSAGE_BYTES_MAX];
        let length = nix::unistd::read(&socket, &mut answer).unwrap();
        assert_eq!(group_of(&answer[..length]), Some(u32::from(CONTROLLER)));
    }
}
