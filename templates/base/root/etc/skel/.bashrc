# For interactive shells of the user.
case $- in
  *i*) ;;
  *) return ;;
esac
HISTCONTROL=ignoreboth
shopt -s histappend checkwinsize
alias ls='ls --color=auto' grep='grep --color=auto'
