//! The process of a pod's sandbox: holds the namespaces, reaps what the pod's containers leave behind when they share
//! its process namespace, and ends when told to. It must know nothing else: it runs once for every pod.
//!
//! The image's is built without the standard library and without libc, which is what `panic=abort` tells here: two
//! kilobytes instead of 1.3 MB to be imported at a machine's first start, read for each pod, and kept in memory. Any other
//! build of the workspace has the same program with the usual beginning.

#![cfg_attr(panic = "abort", no_std, no_main)]

use core::arch::asm;

/// Numbers of arch/x86/entry/syscalls/syscall_64.tbl.
const RT_SIGPROCMASK: usize = 14;
const WAIT4: usize = 61;
const RT_SIGTIMEDWAIT: usize = 128;
const EXIT_GROUP: usize = 231;

const SIG_BLOCK: usize = 0;
const SIGINT: isize = 2;
const SIGTERM: isize = 15;
const SIGCHLD: isize = 17;
/// Bytes of a kernel's signal set.
const SET_BYTES: usize = size_of::<u64>();
const ANY_CHILD: usize = usize::MAX;
const WNOHANG: usize = 1;
const EINTR: isize = 4;

/// Asks the kernel for something with up to four words.
///
/// # Safety
/// The words must be what this call takes: a pointer among them leads to memory of that kind that lives as long.
unsafe fn ask(number: usize, words: [usize; 4]) -> isize {
    let answer;
    // SAFETY: the registers are those of the x86-64 system call convention, which keeps all but rax, rcx and r11; the
    // caller answers for the words.
    unsafe {
        asm!("syscall", inlateout("rax") number => answer, in("rdi") words[0], in("rsi") words[1], in("rdx") words[2],
            in("r10") words[3], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// Ends the process.
fn end(code: usize) -> ! {
    loop {
        // SAFETY: exit_group takes one number, and does not come back.
        unsafe { ask(EXIT_GROUP, [code, 0, 0, 0]) };
    }
}

/// The whole program. Its code is 1 when the kernel does not let it wait.
extern "C" fn pause() -> ! {
    let bit = |signal: isize| 1_u64 << (signal - 1);
    let heard = bit(SIGCHLD) | bit(SIGINT) | bit(SIGTERM);
    let set = (&raw const heard).expose_provenance();
    // SAFETY: reads one signal set of SET_BYTES from `heard`, which lives to the end, and writes none.
    unsafe { ask(RT_SIGPROCMASK, [SIG_BLOCK, set, 0, SET_BYTES]) };
    loop {
        // SAFETY: reads one signal set as above; nobody wants to know more of the signal, and there is no time limit.
        match unsafe { ask(RT_SIGTIMEDWAIT, [set, 0, 0, SET_BYTES]) } {
            // One may stand for many children.
            // SAFETY: wait4 is given no memory to write to.
            SIGCHLD => while unsafe { ask(WAIT4, [ANY_CHILD, 0, WNOHANG, 0]) } > 0 {},
            SIGINT | SIGTERM => end(0),
            answer if answer == -EINTR => {}
            _ => end(1),
        }
    }
}

/// Where the kernel begins: with the stack at a multiple of 16, where a function expects the address to return to.
#[cfg(panic = "abort")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    core::arch::naked_asm!("xor ebp, ebp", "and rsp, -16", "call {pause}", "ud2", pause = sym pause)
}

#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    end(1)
}

#[cfg(not(panic = "abort"))]
fn main() {
    pause()
}
