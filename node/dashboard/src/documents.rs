//! YAML as the page gets it from people, made the JSON that the API takes: several documents, lists taken apart.

use api::{Status, Tree};

/// Objects in one text; more is a job for `kubectl`.
pub const OBJECTS_MAX: usize = 500;

/// The objects of a text, in order.
///
/// # Errors
/// 400 naming the document and, where YAML is at fault, its line.
pub fn read(text: &[u8]) -> Result<Vec<Tree>, Status> {
    let documents = Tree::from_yaml_stream(text).map_err(|error| Status::bad_request(error.to_string()))?;
    let mut objects = Vec::new();
    for (number, document) in documents.into_iter().enumerate() {
        let wrong = |why: &str| Status::bad_request(format!("document {}: {why}", number + 1));
        if let Some(objection) = document.objection {
            return Err(wrong(&objection));
        }
        let is_list = document.tree.str_at(&["kind"]).is_some_and(|kind| kind.ends_with("List"));
        match document.tree.get("items").and_then(Tree::as_list).filter(|_| is_list) {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(document.tree),
        }
        for object in &objects {
            for field in ["apiVersion", "kind"] {
                if object.str_at(&[field]).is_none_or(str::is_empty) {
                    return Err(wrong(&format!("{field} is missing: every object says what it is")));
                }
            }
        }
        if objects.len() > OBJECTS_MAX {
            return Err(wrong(&format!("there are more than {OBJECTS_MAX} objects: use kubectl apply -f")));
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Result<Vec<String>, String> {
        let read = read(text.as_bytes()).map_err(|status| status.message)?;
        Ok(read.iter().map(|object| object.str_at(&["kind"]).unwrap_or_default().to_owned()).collect())
    }

    #[test]
    fn documents_are_taken_in_order_and_lists_apart() {
        let text =
            "apiVersion: v1\nkind: A\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: B}\n";
        assert_eq!(kinds(text), Ok(vec!["A".to_owned(), "B".to_owned()]));
    }

    #[test]
    fn what_is_no_object_is_named() {
        assert!(kinds("a: b").unwrap_err().starts_with("document 1: apiVersion is missing"));
        assert!(kinds("apiVersion: v1\nkind: A\n---\nkind: B\n").unwrap_err().starts_with("document 2: apiVersion"));
        assert!(kinds("a: [").unwrap_err().contains("line"), "{:?}", kinds("a: ["));
        assert!(kinds("apiVersion: v1\nkind: A\nkind: B").unwrap_err().contains("kind"));
    }
}
