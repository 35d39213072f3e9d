use std::fmt;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;

/// The ARN of whoever signed a request, which API Gateway has checked. `None` when nobody did.
#[must_use]
pub fn signer(request: &ApiGatewayV2httpRequest) -> Option<&str> {
    let iam = request.request_context.authorizer.as_ref()?.iam.as_ref()?;
    iam.user_arn.as_deref().filter(|arn| !arn.is_empty())
}

/// Who may call, and who calls, in one form: a user, a role, or the root user of an account. Not every principal of an
/// account, which an IAM policy means by `root`.
///
/// A role goes by its name alone. Whoever has assumed one is told of without the role's path, and the names of an
/// account's roles are unique whatever their paths are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal(Box<str>);

impl Principal {
    /// Reads what people write: `arn:aws:iam::111122223333:role/name`, with or without a path, `…:user/name` or `…:root`.
    /// In names every character is allowed that IAM allows.
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

    /// The ARN, a role's without its path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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

/// What IAM allows in a name (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(arn: &str) -> Option<String> {
        Principal::of_caller(arn).map(|principal| principal.as_str().to_owned())
    }

    #[test]
    fn a_role_is_the_same_caller_in_every_session() {
        let role = Some("arn:aws:iam::111122223333:role/Shop,1".to_owned());
        assert_eq!(caller("arn:aws:sts::111122223333:assumed-role/Shop,1/a"), role);
        assert_eq!(caller("arn:aws:sts::111122223333:assumed-role/Shop,1/b@c"), role);
        let written = Principal::parse("arn:aws:iam::111122223333:role/path/Shop,1");
        assert_eq!(written.map(|principal| principal.as_str().to_owned()), role);
        assert_ne!(caller("arn:aws:sts::444455556666:assumed-role/Shop,1/a"), role);
    }

    #[test]
    fn users_are_told_apart_by_path_and_account() {
        for arn in [
            "arn:aws:iam::111122223333:user/a",
            "arn:aws:iam::111122223333:user/x/a",
            "arn:aws:iam::444455556666:user/a",
            "arn:aws:iam::111122223333:root",
        ] {
            assert_eq!(caller(arn).as_deref(), Some(arn));
        }
        assert_eq!(caller("arn:aws:sts::111122223333:federated-user/a"), None);
    }
}
