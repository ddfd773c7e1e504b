//! Kinds whose objects are not kept but made when somebody asks for them: one line each in [`COMPUTED`].
//!
//! Such an object is read only. It has no resourceVersion, so there is nothing to watch and no list has pages.

use crate::call::Call;
use crate::catalog::Resource;
use crate::negotiate::Form;
use crate::objects::Selection;
use crate::options::ListOptions;
use crate::reply::{self, Body};
use crate::server::Server;
use crate::{table, usage, verbs};
use api::{Status, Tree, tree};
use futures_util::future::BoxFuture;

/// What is asked for.
pub struct Wish<'a> {
    /// The namespace; empty for all, and for kinds without.
    pub namespace: &'a str,
    /// One object; empty for all of them.
    pub name: &'a str,
    /// What a list is narrowed to.
    pub selection: &'a Selection,
}

/// A kind that is computed.
pub struct Computed {
    group: &'static str,
    plural: &'static str,
    /// The objects that fit a wish, in the order of namespace and name. A wish for one that is not there is refused.
    make: Make,
}

/// Makes objects for a wish.
type Make = for<'a> fn(&'a Server, Wish<'a>) -> Made<'a>;

/// Objects on their way, or why there are none.
pub type Made<'a> = BoxFuture<'a, Result<Vec<Tree>, Status>>;

/// All of them.
const COMPUTED: &[Computed] = &[
    Computed { group: "metrics.k8s.io", plural: "nodes", make: usage::nodes },
    Computed { group: "metrics.k8s.io", plural: "pods", make: usage::pods },
];

/// How a resource is computed, if it is.
pub fn find(resource: &Resource) -> Option<&'static Computed> {
    COMPUTED.iter().find(|c| c.group == resource.group && c.plural == resource.plural)
}

/// Answers a get or list.
///
/// # Errors
/// 404 for an object that is not there, 405 for any other verb, and what making them says.
pub async fn run(server: &Server, call: &Call, computed: &Computed) -> Result<http::Response<Body>, Status> {
    let (namespace, name) = (call.info.namespace.as_str(), call.info.name.as_str());
    match call.info.verb.as_str() {
        "get" => {
            call.accepted(false)?;
            let wish = Wish { namespace, name, selection: &Selection::default() };
            let made = (computed.make)(server, wish).await?.pop();
            let mut object =
                tree!({"kind": (call.resource.kind.as_str()), "apiVersion": (call.resource.api_version())});
            let made = made.ok_or_else(|| Status::not_found(&call.resource.named(), name))?;
            for (field, value) in made.as_map().into_iter().flatten() {
                object.set(field, value.clone());
            }
            reply::tree(call, &object, 200)
        }
        "list" => {
            let accepted = call.accepted(true)?;
            let options = ListOptions::read(call, false)?;
            let wish = Wish { namespace, name: "", selection: &options.selection };
            let items = (computed.make)(server, wish).await?;
            match accepted.form {
                Form::Object => {
                    let list = tree!({
                        "kind": (call.resource.list_kind.as_str()),
                        "apiVersion": (call.resource.api_version()),
                        "metadata": {},
                        "items": items
                    });
                    reply::encoded(200, list.to_json(), accepted.encoding, call.resource.list_schema.as_ref())
                }
                Form::Partial => Ok(reply::object(200, &table::partial_of(Tree::map(), items.iter()))),
                Form::Table => table::of_objects(server, call, Tree::map(), &items).map(|t| reply::object(200, &t)),
            }
        }
        _ => Err(verbs::refuse()),
    }
}
