//! How the programs that check layers hash, where QEMU carries the processor's instructions out one by one: wide
//! vectors cost it more than they save. Go's SHA-256 without AVX2 is half as fast again there (15 against 22 MB/s), and
//! each layer is hashed twice, as it comes and as it is unpacked.

use std::arch::x86_64::__cpuid;

/// The services that hash layers. They are written in Go.
const HASHING: &[&str] = &["containerd", "docker"];
/// Where a hypervisor names itself (leaf of CPUID).
const HYPERVISOR: u32 = 0x4000_0000;
/// How QEMU names itself when it emulates the processor.
const EMULATED: &[u8] = b"TCGTCGTCGTCG";

/// More environment for a service on this processor.
pub fn environment(service: &str) -> Option<(&'static str, &'static str)> {
    let says = __cpuid(HYPERVISOR);
    chosen(service, &[says.ebx, says.ecx, says.edx].map(u32::to_le_bytes).concat())
}

fn chosen(service: &str, hypervisor: &[u8]) -> Option<(&'static str, &'static str)> {
    (HASHING.contains(&service) && hypervisor == EMULATED).then_some(("GODEBUG", "cpu.avx2=off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_emulated_processor_does_without_wide_vectors() {
        assert_eq!(chosen("containerd", EMULATED), Some(("GODEBUG", "cpu.avx2=off")));
        assert_eq!(chosen("containerd", b"KVMKVMKVM\0\0\0"), None);
        assert_eq!(chosen("node", EMULATED), None);
    }
}
