//! The user as whom programs run: by numbers, or by a name that this machine knows.

use std::fs;

use crate::exit::Failure;

/// Where the names of users are. Names that another service knows are given by their numbers.
const PASSWD: &str = "/etc/passwd";

/// The numbers of a user and its group.
pub(super) fn find(user: &str) -> Result<(u32, u32), Failure> {
    if let Some((user, group)) = user.split_once(':')
        && let (Ok(user), Ok(group)) = (user.parse(), group.parse())
    {
        return Ok((user, group));
    }
    let known = fs::read_to_string(PASSWD).map_err(|error| Failure::usage(format!("{PASSWD}: {error}")))?;
    look_up(&known, user).ok_or_else(|| {
        Failure::usage(format!(
            "drivers.process.user = {user:?}: {PASSWD} has no such name; give it as UID:GID"
        ))
    })
}

/// Looks a name up in the text of the file (passwd(5)): name, password, user, group, and more.
fn look_up(known: &str, name: &str) -> Option<(u32, u32)> {
    let line = known
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut parts| (parts.next() == Some(name)).then_some(parts));
    let mut numbers = line?.skip(1);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let known = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nbroken:x\n";
        assert_eq!(
            (look_up(known, "nobody"), look_up(known, "root")),
            (Some((65_534, 65_533)), Some((0, 0)))
        );
        assert_eq!((look_up(known, "broken"), look_up(known, "absent")), (None, None));
        assert_eq!(find("1000:100").unwrap(), (1_000, 100));
        assert!(find("no such:user").unwrap_err().to_string().contains("UID:GID"));
    }
}
