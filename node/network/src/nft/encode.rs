//! Our words as nlink's expressions, and operations as one transaction.
//!
//! Registers are counted in four-byte words, as the kernel does; a key lies in consecutive words.

use super::value::concat;
use super::{Data, Family, Field, Hook, Key, MASQUERADE_MARK, Op, Part, Pick, Ruleset, Set, Sticky, Type, Value};
use crate::cidr::{Cidr, bits};
use nlink::netlink::nftables as nl;
use nlink::netlink::nftables::{
    BaseChain, ChainName, CmpOp, CtKey, DynsetExpr, DynsetOp, Expr, FibFlags, FibResult, FilterHook, LookupExpr,
    MetaKey, NatFlags, NatHook, NumgenKind, PayloadBase, Priority, RawExpr, Register, SetDataType, SetElement,
    SetKeyType, Transaction, Verdict,
};

/// `ct state new`.
const STATE_NEW: u32 = 8;
/// `ct status dnat`.
const STATUS_DNAT: u32 = 32;
/// `fib … type local`.
const LOCAL: u32 = 2;
/// Bytes of a link's name in a register.
const LINK_NAME_BYTES: usize = 16;

/// Why something could not become a message: a name that nftables does not take.
pub(super) type Refused = nlink::Error;

fn word(at: usize) -> Register {
    Register::word(at).expect("keys are at most 15 words long, which the tests of the longest ones check")
}

pub(super) fn family(of: Family) -> nl::Family {
    match of {
        Family::V4 => nl::Family::Ip,
        Family::V6 => nl::Family::Ip6,
    }
}

fn compare(op: CmpOp, data: Vec<u8>) -> Expr {
    Expr::Cmp { sreg: word(0), op, data }
}

/// Matches when one of these bits is set in word 0.
fn any_bit(mask: u32) -> [Expr; 2] {
    let zero = vec![0; 4];
    let and =
        Expr::Bitwise { sreg: word(0), dreg: word(0), len: 4, mask: mask.to_ne_bytes().to_vec(), xor: zero.clone() };
    [and, compare(CmpOp::Neq, zero)]
}

/// Sets the mark to `(mark & keep) ^ flip`.
fn set_mark(keep: u32, flip: u32) -> [Expr; 3] {
    [
        Expr::Meta { dreg: word(0), key: MetaKey::Mark },
        Expr::Bitwise {
            sreg: word(0),
            dreg: word(0),
            len: 4,
            mask: keep.to_ne_bytes().to_vec(),
            xor: flip.to_ne_bytes().to_vec(),
        },
        Expr::MetaSet { key: MetaKey::Mark, sreg: word(0) },
    ]
}

fn load_field(of: Family, field: Field, at: usize) -> Expr {
    let address = |v4, v6| {
        let (offset, len) = if of == Family::V4 { (v4, 4) } else { (v6, 16) };
        Expr::Payload { dreg: word(at), base: PayloadBase::Network, offset, len }
    };
    match field {
        Field::Source => address(12, 8),
        Field::Destination => address(16, 24),
        Field::Protocol => Expr::Meta { dreg: word(at), key: MetaKey::L4Proto },
        Field::Port => Expr::Payload { dreg: word(at), base: PayloadBase::Transport, offset: 2, len: 2 },
    }
}

/// Loads a key from word 0 on; tells where it ends.
fn load_key(of: Family, fields: &[Field], into: &mut Vec<Expr>) -> usize {
    let mut at = 0;
    for field in fields {
        into.push(load_field(of, *field, at));
        at += match field {
            Field::Source | Field::Destination => of.words(),
            Field::Protocol | Field::Port => 1,
        };
    }
    at
}

fn range(of: Family, field: Field, range: Cidr, op: CmpOp) -> Vec<Expr> {
    let len = u32::from(bits(range.address) / 8);
    let mut all = vec![load_field(of, field, 0)];
    if range.prefix < bits(range.address) {
        all.push(Expr::Bitwise {
            sreg: word(0),
            dreg: word(0),
            len,
            mask: Value::Address(range.netmask()).bytes(),
            xor: vec![0; len as usize],
        });
    }
    all.push(compare(op, Value::Address(range.network()).bytes()));
    all
}

fn link(key: MetaKey, name: &str, op: CmpOp) -> Vec<Expr> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(LINK_NAME_BYTES, 0);
    vec![Expr::Meta { dreg: word(0), key }, compare(op, padded)]
}

fn goto(chain: &str) -> Result<Verdict, Refused> {
    Ok(Verdict::GotoTo(ChainName::new(chain)?))
}

/// Netlink attributes of one 32-bit number each, as `nfnetlink` wants them: length and type in the machine's order, the
/// number in the network's.
fn attributes(list: &[(u16, u32)]) -> Vec<u8> {
    let one =
        |(kind, value): &(u16, u32)| [&8u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value.to_be_bytes()].concat();
    list.iter().flat_map(one).collect()
}

/// `dnat to` the address and port in the registers from word `at`; the numbers are `enum nft_nat_attributes`.
fn dnat(of: Family, at: usize) -> Expr {
    let (address, port) = (word(at).wire(), word(at + of.words()).wire());
    let (to_destination, nfproto) = (1, if of == Family::V4 { 2 } else { 10 });
    let flags = (NatFlags::MAP_IPS | NatFlags::PROTO_SPECIFIED).bits();
    let list = [(1, to_destination), (2, nfproto), (3, address), (4, address), (5, port), (6, port), (7, flags)];
    RawExpr::new("nat", attributes(&list)).into()
}

/// `masquerade fully-random`.
fn masquerade() -> Expr {
    RawExpr::new("masq", attributes(&[(1, NatFlags::PROTO_RANDOM_FULLY.bits())])).into()
}

/// Sets policies and protocols of one front apart, in one number.
fn label(pick: &Pick) -> u32 {
    pick.policy << 8 | u32::from(pick.front.protocol.number())
}

/// The parts of a key in [`Pick::backends`].
#[must_use]
pub(crate) fn pick_key(pick: &Pick, place: u32) -> Key {
    let front = pick.front;
    let label = label(pick);
    Key(vec![Value::Address(front.address), Value::Port(front.port), Value::Mark(label), Value::Mark(place)])
}

/// The parts of a key that names a backend of a pick: what a memory's key begins with, then what it leads to.
#[must_use]
pub(crate) fn backend_key(pick: &Pick, backend: [Value; 2]) -> Key {
    let label = label(pick);
    Key([&[Value::Address(pick.front.address), Value::Port(pick.front.port), Value::Mark(label)], &backend[..]]
        .concat())
}

fn load_front(pick: &Pick, at: usize) -> [Expr; 3] {
    let words = Family::of(pick.front.address).words();
    let load = |at, value: Value| Expr::Immediate { dreg: word(at), data: value.bytes() };
    [
        load(at, Value::Address(pick.front.address)),
        load(at + words, Value::Port(pick.front.port)),
        load(at + words + 1, Value::Mark(label(pick))),
    ]
}

fn look_up(map: &str, from: usize, to: Option<Register>) -> Expr {
    let lookup = LookupExpr::new(map, word(from));
    match to {
        Some(to) => lookup.dreg(to).into(),
        None => lookup.into(),
    }
}

/// Where the backend lies in the rules of a pick: behind the longest key, which has two addresses and two words.
fn backend_at(of: Family) -> usize {
    2 * of.words() + 2
}

fn protocol(number: u8) -> [Expr; 2] {
    [Expr::Meta { dreg: word(0), key: MetaKey::L4Proto }, compare(CmpOp::Eq, vec![number])]
}

/// A random backend's address and port, at [`backend_at`].
fn pick_random(of: Family, pick: &Pick) -> Vec<Expr> {
    let mut all = Vec::from(protocol(pick.front.protocol.number()));
    all.extend(load_front(pick, 0));
    let place = word(of.words() + 2);
    all.push(Expr::Numgen { dreg: place, kind: NumgenKind::Random, modulus: pick.count, offset: 0 });
    all.push(look_up(&pick.backends, 0, Some(word(backend_at(of)))));
    all
}

/// The key of a source in the memory: its front, then its address.
fn load_memory_key(of: Family, pick: &Pick) -> Vec<Expr> {
    let mut all = Vec::from(load_front(pick, 0));
    all.push(load_field(of, Field::Source, of.words() + 2));
    all
}

fn remember(of: Family, sticky: &Sticky) -> Expr {
    let update = DynsetExpr::new(DynsetOp::Update, &sticky.memory, word(0));
    update.sreg_data(word(backend_at(of))).timeout(sticky.timeout).into()
}

fn stick(of: Family, pick: &Pick, sticky: &Sticky) -> Vec<Expr> {
    let mut all = Vec::from(protocol(pick.front.protocol.number()));
    all.extend(load_memory_key(of, pick));
    all.push(look_up(&sticky.memory, 0, Some(word(backend_at(of)))));
    all.push(remember(of, sticky));
    all.push(dnat(of, backend_at(of)));
    all
}

fn pick_sticky(of: Family, pick: &Pick, sticky: &Sticky) -> Vec<Expr> {
    let mut all = pick_random(of, pick);
    all.extend(load_memory_key(of, pick));
    all.push(remember(of, sticky));
    all.push(dnat(of, backend_at(of)));
    all
}

fn part(of: Family, part: &Part) -> Result<Vec<Expr>, Refused> {
    let fib = |flags| {
        let load = Expr::Fib { dreg: word(0), result: FibResult::AddrType, flags };
        vec![load, compare(CmpOp::Eq, LOCAL.to_ne_bytes().to_vec())]
    };
    let connection = |key, mask| {
        let mut all = vec![Expr::Ct { dreg: word(0), key }];
        all.extend(any_bit(mask));
        all
    };
    let keyed = |fields: &[Field], map: &str, to: fn(usize) -> Option<Register>| {
        let mut all = Vec::new();
        let end = load_key(of, fields, &mut all);
        all.push(look_up(map, 0, to(end)));
        (all, end)
    };
    Ok(match part {
        Part::New => connection(CtKey::State, STATE_NEW),
        Part::Rewritten => connection(CtKey::Status, STATUS_DNAT),
        Part::Protocol(wanted) => protocol(wanted.number()).into(),
        Part::From(cidr) => range(of, Field::Source, *cidr, CmpOp::Eq),
        Part::NotFrom(cidr) => range(of, Field::Source, *cidr, CmpOp::Neq),
        Part::To(cidr) => range(of, Field::Destination, *cidr, CmpOp::Eq),
        Part::NotTo(cidr) => range(of, Field::Destination, *cidr, CmpOp::Neq),
        Part::ToLocal => fib(FibFlags::DADDR),
        Part::FromLocal => fib(FibFlags::SADDR),
        Part::In(name) => link(MetaKey::IifName, name, CmpOp::Eq),
        Part::NotIn(name) => link(MetaKey::IifName, name, CmpOp::Neq),
        Part::NotOut(name) => link(MetaKey::OifName, name, CmpOp::Neq),
        Part::Lookup(fields, set) => keyed(fields, set, |_| None).0,
        Part::Dispatch(fields, map) => keyed(fields, map, |_| Some(Register::Verdict)).0,
        Part::DnatByMap(fields, map) => {
            let (mut all, end) = keyed(fields, map, |end| Some(word(end)));
            all.push(dnat(of, end));
            all
        }
        Part::DnatPick(pick) => {
            let mut all = pick_random(of, pick);
            all.push(dnat(of, backend_at(of)));
            all
        }
        Part::Stick(pick, sticky) => stick(of, pick, sticky),
        Part::PickSticky(pick, sticky) => pick_sticky(of, pick, sticky),
        Part::Mark => set_mark(!MASQUERADE_MARK, MASQUERADE_MARK).into(),
        Part::TakeMark => {
            let mut all = vec![Expr::Meta { dreg: word(0), key: MetaKey::Mark }];
            all.extend(any_bit(MASQUERADE_MARK));
            all.extend(set_mark(u32::MAX, MASQUERADE_MARK));
            all
        }
        Part::Masquerade => vec![masquerade()],
        Part::Jump(chain) => vec![Expr::Verdict(Verdict::JumpTo(ChainName::new(chain)?))],
        Part::Goto(chain) => vec![Expr::Verdict(goto(chain)?)],
        Part::Return => vec![Expr::Verdict(Verdict::Return)],
        Part::Drop => vec![Expr::Verdict(Verdict::Drop)],
        Part::Reset => vec![Expr::Reject { reject_type: nl::NFT_REJECT_TCP_RST, icmp_code: 0 }],
        Part::Reject => {
            let port_unreachable = if of == Family::V4 { 3 } else { 4 };
            vec![Expr::Reject { reject_type: nl::NFT_REJECT_ICMP_UNREACH, icmp_code: port_unreachable }]
        }
    })
}

fn base(hook: Hook) -> BaseChain {
    let before = Priority::Custom(Priority::DstNat.to_i32() - 10);
    match hook {
        Hook::RawPrerouting => BaseChain::filter(FilterHook::Prerouting, Priority::Raw),
        Hook::BeforeNatPrerouting => BaseChain::filter(FilterHook::Prerouting, before),
        Hook::BeforeNatOutput => BaseChain::filter(FilterHook::Output, before),
        Hook::FilterInput => BaseChain::filter(FilterHook::Input, Priority::Filter),
        Hook::FilterForward => BaseChain::filter(FilterHook::Forward, Priority::Filter),
        Hook::FilterOutput => BaseChain::filter(FilterHook::Output, Priority::Filter),
        Hook::NatPrerouting => BaseChain::nat(NatHook::Prerouting, Priority::DstNat),
        Hook::NatOutput => BaseChain::nat(NatHook::Output, Priority::DstNat),
        Hook::NatPostrouting => BaseChain::nat(NatHook::Postrouting, Priority::SrcNat),
    }
}

fn key_type(of: Family, parts: &[Type]) -> SetKeyType {
    let one = |part: &Type| match (part, of) {
        (Type::Address, Family::V4) => SetKeyType::Ipv4Addr,
        (Type::Address, Family::V6) => SetKeyType::Ipv6Addr,
        (Type::Protocol, _) => SetKeyType::InetProto,
        (Type::Port, _) => SetKeyType::InetService,
        (Type::Mark, _) => SetKeyType::Mark,
    };
    match parts {
        [single] => one(single),
        several => SetKeyType::Concat(several.iter().map(one).collect()),
    }
}

pub(super) fn set(rules: &Ruleset, name: &str, shape: &Set) -> nl::Set {
    let mut set = nl::Set::new(rules.table, name).family(family(rules.family));
    set = set.key_type(key_type(rules.family, &shape.key));
    set = match shape.data.as_deref() {
        None => set,
        Some([]) => set.map(SetDataType::Verdict),
        Some(values) => set.map(SetDataType::Value(key_type(rules.family, values))),
    };
    match shape.dynamic_max {
        Some(max) => set.dynamic().per_element_timeouts().size(max),
        None => set,
    }
}

fn element(key: &Key, data: Option<&Data>) -> Result<SetElement, Refused> {
    let element = SetElement::new(key.bytes());
    Ok(match data {
        None | Some(Data::Member) => element,
        Some(Data::Drop) => element.verdict(Verdict::Drop),
        Some(Data::Goto(chain)) => element.verdict(goto(chain)?),
        Some(Data::Values(values)) => element.value(SetElement::new(concat(values))),
    })
}

/// The operations as one transaction over the table of `rules`, which also says what its sets look like.
pub(super) fn transaction(begin: Transaction, rules: &Ruleset, ops: &[Op]) -> Result<Transaction, Refused> {
    let (table, of) = (rules.table, family(rules.family));
    let shape = |name: &str| {
        let shape = rules.sets.get(name);
        shape.map(|shape| set(rules, name, shape)).expect("elements belong to a set of the same ruleset")
    };
    let mut all = begin;
    for op in ops {
        all = match op {
            Op::Renew => all.destroy_table(table, of).add_table(table, of),
            Op::AddSet(name, shape) => all.add_set(set(rules, name, shape)),
            Op::AddChain(name, hook) => {
                let chain = nl::Chain::new(table, name.as_str())?.family(of);
                all.add_chain(match hook {
                    Some(hook) => chain.base(base(*hook)),
                    None => chain,
                })
            }
            Op::FlushChain(name) => all.flush_chain(table, name, of),
            Op::DeleteChain(name) => all.del_chain(table, name, of),
            Op::AddRule(chain, parts) => {
                let mut rule = Vec::new();
                for one in parts {
                    rule.extend(part(rules.family, one)?);
                }
                all.add_rule(nl::Rule::new(table, chain).family(of).expressions(rule))
            }
            Op::DeleteElements(name, keys) | Op::ForgetElements(name, keys) => {
                let elements: Vec<SetElement> = keys.iter().map(|key| element(key, None)).collect::<Result<_, _>>()?;
                let (shape, must_be_there) = (shape(name), matches!(op, Op::DeleteElements(..)));
                let parts = elements.chunks(super::ELEMENTS_PER_MESSAGE_MAX);
                parts.fold(all, |all, some| {
                    if must_be_there {
                        all.del_set_elements(&shape, some)
                    } else {
                        all.destroy_set_elements(&shape, some)
                    }
                })
            }
            Op::AddElements(name, added) => {
                let elements: Vec<SetElement> =
                    added.iter().map(|(key, data)| element(key, Some(data))).collect::<Result<_, _>>()?;
                let shape = shape(name);
                let parts = elements.chunks(super::ELEMENTS_PER_MESSAGE_MAX);
                parts.fold(all, |all, some| all.add_set_elements(&shape, some))
            }
        };
    }
    Ok(all)
}
