//! The order of a merged list: items of the patch in the order of the patch, items that only the server has in the
//! server's, woven together so that neither order is broken.

use api::Tree;

/// Whether two items are the same one: by the merge key, or as scalars.
pub(super) fn same(left: &Tree, right: &Tree, key: Option<&str>) -> bool {
    match key {
        Some(key) => matches!((left.get(key), right.get(key)), (Some(l), Some(r)) if l == r),
        None => left == right,
    }
}

/// The place of an item in a list.
pub(super) fn place(list: &[Tree], item: &Tree, key: Option<&str>) -> Option<usize> {
    list.iter().position(|other| same(other, item, key))
}

fn sorted(mut items: Vec<Tree>, order: &[Tree], key: Option<&str>) -> Vec<Tree> {
    items.sort_by_cached_key(|item| place(order, item, key).unwrap_or(usize::MAX));
    items
}

/// Orders a merged list. `patch` is the list, or the order that the patch asks for; `server` is the list before.
pub(super) fn arrange(merged: Vec<Tree>, patch: &[Tree], server: &[Tree], key: Option<&str>) -> Vec<Tree> {
    let (of_patch, of_server): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| place(patch, item, key).is_some());
    let of_patch = sorted(of_patch, patch, key);
    let of_server = sorted(of_server, server, key);
    let mut woven = Vec::with_capacity(of_patch.len() + of_server.len());
    let mut left = of_server.into_iter().peekable();
    let mut right = of_patch.into_iter().peekable();
    loop {
        let server_first = match (left.peek(), right.peek()) {
            (None, None) => return woven,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => match (place(server, l, key), place(server, r, key)) {
                (Some(l), Some(r)) => l < r,
                _ => false,
            },
        };
        woven.extend(if server_first { left.next() } else { right.next() });
    }
}
