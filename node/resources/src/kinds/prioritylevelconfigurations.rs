//! PriorityLevelConfigurations: how many requests run at once. Rules of
//! `k8s.io/kubernetes/pkg/registry/flowcontrol/prioritylevelconfiguration`.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules};
use api::{Tree, meta};

const SHARES: i64 = 30;
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of the hash from which a hand of queues is dealt.
const HASH_BITS_MAX: f64 = 60.0;

/// What is special about PriorityLevelConfigurations.
pub const RULES: Rules =
    Rules { generation: true, default, validate, validate_status: super::flowschemas::conditions, cells: row, ..PLAIN };

fn fill(place: Option<&mut Tree>, fields: &[(&str, i64)], also_zero: bool) {
    let Some(place) = place.filter(|p| p.as_map().is_some()) else { return };
    for (field, value) in fields {
        let given = place.int_at(&[field]);
        if given.is_none() || (also_zero && given == Some(0)) {
            place.set(*field, *value);
        }
    }
}

fn default(object: &mut Tree) {
    let shares = |number| [("nominalConcurrencyShares", number), ("lendablePercent", 0)];
    fill(object.at_mut(&["spec", "exempt"]), &shares(0), false);
    fill(object.at_mut(&["spec", "limited"]), &shares(SHARES), false);
    let queuing = object.at_mut(&["spec", "limited", "limitResponse", "queuing"]);
    fill(queuing, &[("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)], true);
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let (kind, exempt, limited) = (spec.at("type"), spec.at("exempt"), spec.at("limited"));
    if (meta::name(object) == "exempt") != (kind.text() == "Exempt") {
        kind.invalid(faults, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind.text() {
        "Exempt" => {
            if limited.given() {
                limited.forbidden(faults, "must be nil if the type is not Limited");
            }
            shares(&exempt, faults);
        }
        "Limited" => {
            if exempt.given() {
                exempt.forbidden(faults, "must be nil if the type is Limited");
            }
            if limited.given() {
                shares(&limited, faults);
                response(&limited.at("limitResponse"), faults);
            } else {
                limited.required(faults, "must not be empty when type is Limited");
            }
        }
        _ => kind.must_be_one_of(faults, &["Exempt", "Limited"]),
    }
}

fn shares(place: &Place, faults: &mut Faults) {
    let (shares, lend, borrow) =
        (place.at("nominalConcurrencyShares"), place.at("lendablePercent"), place.at("borrowingLimitPercent"));
    if shares.int().is_some_and(|n| n < 0) {
        shares.invalid(faults, "must be a non-negative integer");
    }
    lend.within(faults, 0, 100);
    if borrow.int().is_some_and(|n| n < 0) {
        borrow.invalid(faults, "if specified, must be a non-negative integer");
    }
}

fn response(response: &Place, faults: &mut Faults) {
    let queuing = response.at("queuing");
    match response.at("type").text() {
        "Reject" if queuing.given() => {
            queuing.forbidden(faults, "must be nil if limited.limitResponse.type is not Limited");
        }
        "Queue" if !queuing.given() => {
            queuing.required(faults, "must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => queues(&queuing, faults),
        "Reject" => {}
        _ => response.at("type").must_be_one_of(faults, &["Queue", "Reject"]),
    }
}

fn queues(queuing: &Place, faults: &mut Faults) {
    let (limit, queues, hand) = (queuing.at("queueLengthLimit"), queuing.at("queues"), queuing.at("handSize"));
    for place in [&limit, &queues, &hand].into_iter().filter(|place| place.int().unwrap_or_default() <= 0) {
        place.invalid(faults, "must be positive");
    }
    let (deck, size) = (queues.int().unwrap_or_default(), hand.int().unwrap_or_default());
    if deck > QUEUES_MAX {
        queues.invalid(faults, format!("must not be greater than {QUEUES_MAX}"));
    }
    if size > deck {
        return hand.invalid(faults, format!("should not be greater than queues ({deck})"));
    }
    // A hand of more cards than the bits of the hash needs more bits than there are, whatever the deck.
    let dealt = size.clamp(0, HASH_BITS_MAX as i64 + 1);
    #[allow(clippy::cast_precision_loss, reason = "a deck has at most 10^7 cards")]
    let bits: f64 = (0..dealt).map(|card| ((deck - card) as f64).log2()).sum();
    if bits.ceil() > HASH_BITS_MAX {
        let why = "should not be greater than 60";
        hand.invalid(faults, format!("required entropy bits of deckSize {deck} and handSize {size} {why}"));
    }
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let number = |path: &[&str]| object.int_at(path).map_or(Tree::text("<none>"), Tree::Int);
    let queuing = |field: &str| number(&["spec", "limited", "limitResponse", "queuing", field]);
    vec![
        Tree::text(meta::name(object)),
        Tree::text(object.str_at(&["spec", "type"]).unwrap_or_default()),
        number(&["spec", "limited", "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        cells::age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_level_gets_shares_and_queues() {
        let response = tree!({"type": "Queue", "queuing": {}});
        let mut object = tree!({"spec": {"type": "Limited", "limited": {"limitResponse": response}}});
        default(&mut object);
        let mut faults = Faults::new();
        validate(&object, &mut faults);
        assert_eq!(faults, []);
        assert_eq!(row(&object, 0)[2..6], [30, 64, 8, 50].map(Tree::Int));
        object.set_at(&["spec", "limited", "limitResponse", "queuing", "handSize"], 65);
        validate(&object, &mut faults);
        assert_eq!(faults[0].detail, "should not be greater than queues (64)");
    }
}
