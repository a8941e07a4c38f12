//! What a key means.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What somebody who watches can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    KillControl,
    KillWorker,
    AddControl,
    AddWorker,
    Drain,
    Quit,
}

/// The keys, with what the last line of the screen says of them.
pub(super) const KEYS: [(char, Action, &str); 6] = [
    ('k', Action::KillControl, "kill control"),
    ('w', Action::KillWorker, "kill worker"),
    ('c', Action::AddControl, "add control"),
    ('n', Action::AddWorker, "add worker"),
    ('d', Action::Drain, "drain control"),
    ('q', Action::Quit, "quit"),
];

/// A raw terminal sends Ctrl-C as a key, which means what it always means.
pub(super) fn action(key: KeyEvent) -> Option<Action> {
    if key.kind != KeyEventKind::Press {
        return None;
    }
    let KeyCode::Char(pressed) = key.code else { return None };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (pressed == 'c').then_some(Action::Quit);
    }
    KEYS.iter().find(|(key, ..)| *key == pressed.to_ascii_lowercase()).map(|(_, action, _)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(key: char, modifiers: KeyModifiers) -> Option<Action> {
        action(KeyEvent::new(KeyCode::Char(key), modifiers))
    }

    #[test]
    fn each_key_does_its_own_thing() {
        let plain = |key| press(key, KeyModifiers::NONE);
        let all: Vec<Option<Action>> = "kwcndq".chars().map(plain).collect();
        use Action::{AddControl, AddWorker, Drain, KillControl, KillWorker, Quit};
        let meant = [KillControl, KillWorker, AddControl, AddWorker, Drain, Quit];
        assert_eq!(all, meant.map(Some));
        assert_eq!(press('K', KeyModifiers::SHIFT), Some(KillControl));
        assert_eq!(plain('x'), None);
    }

    #[test]
    fn control_c_quits_and_does_not_add_a_control_node() {
        assert_eq!(press('c', KeyModifiers::CONTROL), Some(Action::Quit));
        assert_eq!(press('k', KeyModifiers::CONTROL), None);
        let mut released = KeyEvent::new(KeyCode::Char('k'), KeyModifiers::NONE);
        released.kind = KeyEventKind::Release;
        assert_eq!(action(released), None, "some terminals tell of releases too");
        assert_eq!(action(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), None);
    }
}
