# What the kernel's bash reads first, and again when it takes the place of one that was left.
#
# Commands come over descriptor 0. What they print goes to 196 and 197 while they run; the rest of
# the time 1 and 2 are /dev/null, so that prompts and notices of jobs do not mix with output.
# 195 is descriptor 0 once more, for a cell has /dev/null there; 198 is the memory file that code and
# states go through; 199 is where the shell says that something has ended.

PS1= PS2= PROMPT_COMMAND=
unset -v HISTFILE MAILCHECK
set +o history +o histexpand
shopt -s expand_aliases

# The state of the shell before this one. Most errors are variables that bash keeps to itself.
if [[ -n ${__soulbox_left-} ]]; then
    . /dev/fd/198 2>/dev/null
fi
unset -v __soulbox_left __soulbox_running
export -n __soulbox_host

# `exit`, `set -e` and whatever else ends a shell end only the cell: the state goes into the memory
# file, and a new bash with the same process id takes it from there.
__soulbox_leave() {
    builtin local status=$?
    builtin trap - EXIT
    [[ -n ${__soulbox_running-} ]] || builtin exit "$status"
    builtin printf 'left %d\0%s\0' "$status" "$PWD" >&199
    {
        builtin declare -p
        builtin declare -f
        builtin declare -Fx
        builtin alias -p
        builtin shopt -p
        builtin trap -p
        builtin umask -p
        builtin printf 'builtin set --'
        # Not those of a function that the shell was left in.
        ((${#__soulbox_arguments[@]})) && builtin printf ' %q' "${__soulbox_arguments[@]}"
        builtin printf '\n'
        # Last: `set -e` must not meet the errors before it.
        builtin set +o
    } >/dev/fd/198 2>/dev/null
    builtin export __soulbox_left=1 __soulbox_host
    builtin exec "$BASH" --noprofile --rcfile "$__soulbox_host" --noediting -i \
        <&195 >/dev/null 2>&1
}
builtin trap __soulbox_leave EXIT
