// What the page itself says, per language. Everything else comes from the device.
const en = {
  name: "English", hello: "How can I help?", hint: "Type, hold the button and speak, or show a picture.",
  hold: "Hold to talk", release: "Listening… release to send", placeholder: "Type your question",
  send: "Send", picture: "Show a picture", again: "Start over", mute: "Voice on or off", language: "Language",
  drop: "Drop the picture here", shoot: "Take picture", choose: "Choose a file", close: "Close",
  noMicrophone: "The microphone cannot be used here. Please type.", tooShort: "Hold the button while you speak.",
  badPicture: "This is not a picture I can read.", gone: "Connection to the device lost. Trying again…",
  heard: "One moment…", sources: "From:", problem: "Sorry, something went wrong. Please try again.",
};
export const STRINGS = {
  zh: {
    name: "中文", hello: "您好,请问有什么可以帮您?", hint: "打字、按住按钮说话,或者拍张照片给我看。",
    hold: "按住说话", release: "正在听,松开发送", placeholder: "请输入您的问题", send: "发送", picture: "拍照或选图片",
    again: "重新开始", mute: "语音开关", language: "语言", drop: "把图片放到这里", shoot: "拍照", choose: "选择文件",
    close: "关闭", noMicrophone: "这里无法使用麦克风,请打字。", tooShort: "请按住按钮说话。",
    badPicture: "这张图片无法识别。", gone: "与设备的连接已断开,正在重连…", heard: "请稍等…", sources: "依据:",
    problem: "抱歉,出了点问题,请再试一次。",
  },
  en,
  es: {
    name: "Español", hello: "¿En qué puedo ayudarle?", hint: "Escriba, mantenga pulsado el botón y hable, o muestre una foto.",
    hold: "Mantenga y hable", release: "Escuchando… suelte para enviar", placeholder: "Escriba su pregunta", send: "Enviar",
    picture: "Mostrar una foto", again: "Empezar de nuevo", mute: "Voz sí o no", language: "Idioma", drop: "Suelte la foto aquí",
    shoot: "Hacer foto", choose: "Elegir archivo", close: "Cerrar", noMicrophone: "No se puede usar el micrófono. Escriba, por favor.",
    tooShort: "Mantenga pulsado el botón mientras habla.", badPicture: "No puedo leer esta imagen.",
    gone: "Se perdió la conexión con el dispositivo. Reintentando…", heard: "Un momento…", sources: "Según:",
    problem: "Lo siento, algo falló. Inténtelo de nuevo.",
  },
  fr: { ...en, name: "Français", hello: "Comment puis-je vous aider ?", hint: "Écrivez, maintenez le bouton et parlez, ou montrez une photo.", hold: "Maintenir et parler", release: "J’écoute… relâchez pour envoyer", placeholder: "Écrivez votre question", again: "Recommencer", language: "Langue", heard: "Un instant…", sources: "Source :" },
  de: { ...en, name: "Deutsch", hello: "Wie kann ich helfen?", hint: "Tippen, Taste halten und sprechen oder ein Bild zeigen.", hold: "Halten und sprechen", release: "Ich höre … loslassen zum Senden", placeholder: "Ihre Frage", again: "Neu beginnen", language: "Sprache", heard: "Einen Moment …", sources: "Quelle:" },
  ja: { ...en, name: "日本語", hello: "ご用件をどうぞ", hint: "入力、ボタンを押しながら話す、写真を見せる、どれでもどうぞ。", hold: "押して話す", release: "聞いています…離すと送信", placeholder: "ご質問を入力", again: "最初から", language: "言語", heard: "少々お待ちください…", sources: "参照:" },
  ko: { ...en, name: "한국어", hello: "무엇을 도와드릴까요?", hint: "입력하거나, 버튼을 누른 채 말하거나, 사진을 보여 주세요.", hold: "누르고 말하기", release: "듣는 중… 놓으면 전송", placeholder: "질문을 입력하세요", again: "처음부터", language: "언어", heard: "잠시만요…", sources: "출처:" },
  pt: { ...en, name: "Português", hello: "Como posso ajudar?", hint: "Escreva, segure o botão e fale, ou mostre uma foto.", hold: "Segure e fale", release: "Ouvindo… solte para enviar", placeholder: "Escreva sua pergunta", again: "Recomeçar", language: "Idioma", heard: "Um momento…", sources: "Fonte:" },
  it: { ...en, name: "Italiano", hello: "Come posso aiutarla?", hint: "Scriva, tenga premuto il pulsante e parli, o mostri una foto.", hold: "Tenga premuto e parli", release: "Ascolto… rilasci per inviare", placeholder: "Scriva la domanda", again: "Ricomincia", language: "Lingua", heard: "Un momento…", sources: "Fonte:" },
  ru: { ...en, name: "Русский", hello: "Чем я могу помочь?", hint: "Напишите, удерживайте кнопку и говорите или покажите фото.", hold: "Удерживайте и говорите", release: "Слушаю… отпустите, чтобы отправить", placeholder: "Ваш вопрос", again: "Начать заново", language: "Язык", heard: "Минутку…", sources: "Источник:" },
  ar: { ...en, name: "العربية", hello: "كيف يمكنني مساعدتك؟", hint: "اكتب، أو اضغط الزر باستمرار وتحدّث، أو أرني صورة.", hold: "اضغط وتحدّث", release: "أستمع… ارفع إصبعك للإرسال", placeholder: "اكتب سؤالك", again: "ابدأ من جديد", language: "اللغة", heard: "لحظة من فضلك…", sources: "المصدر:" },
};
