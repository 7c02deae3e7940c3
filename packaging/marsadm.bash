# Completion of marsadm for bash. Made by `marsadm completion bash`.
_marsadm() {
  local current=${COMP_WORDS[COMP_CWORD]} command="" place=0 options="" positional="" word valued="" i
  local socket=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    [[ $word != = ]] || continue  # bash takes --host=b for three words
    if [[ -n $valued ]]; then
      [[ $valued != --socket ]] || socket=(--socket "$word")
      valued=""
      continue
    fi
    case $word in
      --socket | --expires | --timeout | --size | --host | --count | --at | --set | --deadline) valued=$word ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=$word; else ((place++)); fi ;;
    esac
  done
  [[ -z $valued ]] || command=$valued
  [[ $current != = ]] || current=""
  case $command in
    --host) positional="$(marsadm "${socket[@]}" completion hosts 2>/dev/null)" ;;
    --socket) positional=FILES ;;
    "")
      options="--socket --json --version --help"
      positional="create-cluster invite join-cluster issue-client version create-resource join-resource leave-resource delete-resource attach detach up down invalidate set get primary secondary pause-fetch resume-fetch pause-replay resume-replay pause-sync resume-sync status view wait-resource events graph insert remove"
      ;;
    create-cluster)
      options="--dry-run --json"
      ;;
    invite)
      options="--expires --json"
      ;;
    join-cluster)
      options="--dry-run --timeout --json"
      ;;
    issue-client)
      options="--dry-run --json"
      case $place in
        1) positional="FILES" ;;
      esac
      ;;
    version)
      options="--json"
      ;;
    create-resource)
      options="--size --create-file --dry-run --timeout --json"
      case $place in
        1) positional="FILES" ;;
      esac
      ;;
    join-resource)
      options="--overwrite --dry-run --timeout --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
        1) positional="FILES" ;;
      esac
      ;;
    leave-resource)
      options="--dry-run --timeout --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    delete-resource)
      options="--force --dry-run --timeout --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    attach)
      options="--accept-disk --accept-loss --force --dry-run --timeout --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    detach)
      options="--dry-run --timeout --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    up)
      options="--dry-run --timeout --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    down)
      options="--dry-run --timeout --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    invalidate)
      options="--dry-run --timeout --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    set)
      options="--json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
        1) positional="write-cache flush-interval front-end open-wait handover-lag deposed " ;;
      esac
      ;;
    get)
      options="--json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
        1) positional="write-cache flush-interval front-end open-wait handover-lag deposed " ;;
      esac
      ;;
    primary)
      options="--force --now --dry-run --timeout --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    secondary)
      options="--dry-run --timeout --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    pause-fetch)
      options="--host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    resume-fetch)
      options="--host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    pause-replay)
      options="--host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    resume-replay)
      options="--host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    pause-sync)
      options="--host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    resume-sync)
      options="--host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    status)
      options="--json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    view)
      options="--json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    wait-resource)
      options="--host --timeout --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
        1) positional="synced consistent attached detached primary secondary" ;;
      esac
      ;;
    events)
      options="--count --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    graph)
      options="--host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
    insert)
      options="--at --set --deadline --dry-run --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
        1) positional="check delay fault stats throttle trace" ;;
      esac
      ;;
    remove)
      options="--deadline --dry-run --host --json"
      case $place in
        0) positional="$(marsadm "${socket[@]}" completion resources 2>/dev/null)" ;;
      esac
      ;;
  esac
  if [[ $positional == FILES && $current != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$positional" -- "$current")
  fi
}
complete -F _marsadm marsadm
