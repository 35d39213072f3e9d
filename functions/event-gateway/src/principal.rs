use std::fmt;

/// Who may call, and who calls, in one form: a user, a role, or the root user of an account. Not every principal of an
/// account, which an IAM policy means by `root`.
///
/// A role goes by its name alone. Whoever has assumed one is told of without the role's path, and the names of an
/// account's roles are unique whatever their paths are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal(Box<str>);

impl Principal {
    /// Reads what people write: `arn:aws:iam::111122223333:role/name`, with or without a path, `…:user/name` or `…:root`.
    #[must_use]
    pub fn parse(arn: &str) -> Option<Self> {
        let Arn { partition, service: "iam", account, resource } = Arn::parse(arn)? else { return None };
        match resource.split_once('/') {
            None if resource == "root" => Some(Self(arn.into())),
            Some(("user", path)) if is_path(path) => Some(Self(arn.into())),
            Some(("role", path)) if is_path(path) => {
                Some(Self::role(partition, account, path.rsplit('/').next().unwrap_or(path)))
            }
            _ => None,
        }
    }

    /// Reads what API Gateway says of whoever signed a request (`userArn`). A role calls by a session of it.
    #[must_use]
    pub fn of_caller(user_arn: &str) -> Option<Self> {
        let Arn { partition, service, account, resource } = Arn::parse(user_arn)?;
        match (service, resource.split_once('/')) {
            ("sts", Some(("assumed-role", session))) => {
                let (role, session) = session.split_once('/')?;
                (is_name(role) && !session.is_empty()).then(|| Self::role(partition, account, role))
            }
            ("iam", Some(("role", _))) => None,
            _ => Self::parse(user_arn),
        }
    }

    fn role(partition: &str, account: &str, name: &str) -> Self {
        Self(format!("arn:{partition}:iam::{account}:role/{name}").into())
    }
}

/// Without the name, which may be a person's.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Principal")
    }
}

struct Arn<'a> {
    partition: &'a str,
    service: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Of a service without regions.
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, "", account, resource] = parts[..] else { return None };
        let is_partition = partition.starts_with("aws")
            && partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        (is_partition && is_account).then_some(Self { partition, service, account, resource })
    }
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_name)
}

/// What IAM allows in a name, less the comma, which separates producers.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=.@-".contains(&byte))
}
