//! What a column of a table shows, for the columns that are more than one described field. Our own words; the others
//! have the description of their field (`ColumnFact::doc`).

/// Heading and text. A heading means the same in every kind.
const TEXTS: &[(&str, &str)] = &[
    ("Address", "Where clients outside the cluster reach it."),
    ("Allowed Disruptions", "Pods that may be away at this moment."),
    ("Available", "Whether it can be used, or how many of it can."),
    ("Class", "The class that it belongs to."),
    ("Condition", "Where it stands."),
    ("Containers", "Names of the containers."),
    ("Controller", "What takes care of it."),
    ("Drivers", "How many drivers are installed."),
    ("Duration", "How long it took, or has been taking."),
    ("Error", "What went wrong."),
    ("Groups", "Groups that it is granted to."),
    ("Handler", "The configuration of the runtime that it stands for."),
    ("Hosts", "Host names that it takes requests for."),
    ("Images", "Images of the containers."),
    ("Limit", "What is used of each limit."),
    ("Max Unavailable", "Pods that may be away at most."),
    ("Message", "What there is to say about its state."),
    ("Min Available", "Pods that must be there at least."),
    ("MissingPL", "Whether the priority level that it refers to is missing."),
    ("Mutations", "How many changes it makes."),
    ("ParamKind", "The kind of its parameters."),
    ("ParamRef", "Where its parameters are."),
    ("Parameters", "The object with its parameters."),
    ("Pod Labels", "Labels of its pods."),
    ("PolicyName", "The policy that it puts to use."),
    ("Ports", "Ports that it serves."),
    ("Ready", "How many of its parts are ready, of how many."),
    ("Request", "What is used of each request."),
    ("Requestor", "Who asks."),
    ("Restarts", "How often containers were started again, and when last."),
    ("Role", "The role that is granted."),
    ("Roles", "Roles that the labels of the node name."),
    ("Service", "The service that answers for it."),
    ("ServiceAccounts", "Service accounts that it is granted to."),
    ("SignerName", "Who is to sign."),
    ("State", "What it is doing."),
    ("Status", "Where it stands."),
    ("StorageClass", "The class of storage."),
    ("Users", "Users that it is granted to."),
    ("Validations", "How many conditions it checks."),
    ("VolumeAttributesClass", "The class of the attributes of the volume."),
    ("Webhooks", "How many webhooks it calls."),
    ("Window", "The time over which the usage was measured."),
    ("cpu", "Processors in use, on average over the window."),
    ("memory", "Memory in use that cannot be given up."),
];

/// What a column with this heading shows; empty for headings that only described fields have.
#[must_use]
pub fn column_text(heading: &str) -> &'static str {
    TEXTS.iter().find(|(name, _)| *name == heading).map_or("", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::RESOURCES;

    #[test]
    fn every_column_is_described_in_one_way() {
        let columns = || RESOURCES.iter().flat_map(|resource| resource.columns);
        for column in columns().filter(|column| column.doc.is_empty()) {
            assert!(!column_text(column.name).is_empty(), "{} needs a text", column.name);
        }
        for (heading, _) in TEXTS {
            assert!(columns().any(|c| c.name == *heading && c.doc.is_empty()), "{heading} needs none");
        }
    }
}
