#!/usr/bin/env bash
# completion_test.sh COMPLETION: what bash offers, with a marsadm that knows two resources and two hosts.
set -u  # without -e: what bash runs while somebody types ends no shell either
source "$1"

marsadm() {
  case "$*" in
    "completion resources") echo "mydata other" ;;
    "--socket /s completion resources") echo "elsewhere" ;;
    "completion hosts") echo "alpha beta" ;;
  esac
}

# offers WANTED WORD...: the last word is the one that is being typed.
offers() {
  local wanted=$1
  COMP_WORDS=(marsadm "${@:2}")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _marsadm
  [[ "${COMPREPLY[*]}" == "$wanted" ]] || { echo "${*:2}: \"${COMPREPLY[*]}\" instead of \"$wanted\""; exit 1; }
}

offers "view" vi
offers "mydata other" view ""
offers "mydata" view my
offers "" create-resource ""
offers "elsewhere" --socket /s view ""
offers "elsewhere" view --socket = /s ""
offers "alpha beta" primary mydata --host ""
offers "beta" primary mydata --host = b
offers "alpha beta" wait-resource mydata --host =
offers "" primary mydata --timeout ""
offers "synced secondary" wait-resource mydata s
offers "--host" primary mydata --ho
