//! Service accounts, and the quotas beside them: nothing special but their rows.

use crate::cells;
use crate::rules::{PLAIN, Rules};
use api::{Quantity, Tree, meta};

/// What is special about service accounts.
pub const RULES: Rules =
    Rules { cells: |object, now| vec![Tree::text(meta::name(object)), cells::age(object, now)], ..PLAIN };

/// What is special about resource quotas.
pub const QUOTAS: Rules = Rules { cells: quota_row, ..PLAIN };

/// What is used of each request, and of each limit.
fn quota_row(object: &Tree, now: i64) -> Vec<Tree> {
    let shown = |limits: bool| {
        let hard = object.map_at(&["status", "hard"]).into_iter().flatten();
        let texts = hard.filter(|(name, _)| name.starts_with("limits.") == limits).map(|(name, hard)| {
            let used = object.at(&["status", "used", name]);
            format!("{name}: {}/{}", amount(used), amount(Some(hard)))
        });
        Tree::text(texts.collect::<Vec<_>>().join(", "))
    };
    vec![Tree::text(meta::name(object)), shown(false), shown(true), cells::age(object, now)]
}

fn amount(value: Option<&Tree>) -> String {
    let text = value.and_then(Tree::as_str).unwrap_or("0");
    Quantity::parse(text).map_or(text.to_owned(), |quantity| quantity.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_quota_shows_requests_and_limits_apart() {
        let quota = tree!({
            "metadata": {"name": "q"},
            "status": {"hard": {"limits.cpu": "2", "pods": "5"}, "used": {"pods": "1"}}
        });
        let row = quota_row(&quota, 0);
        assert_eq!(row[1], Tree::text("pods: 1/5"));
        assert_eq!(row[2], Tree::text("limits.cpu: 0/2"));
    }
}
